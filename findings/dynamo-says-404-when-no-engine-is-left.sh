#!/usr/bin/env bash
# NVIDIA Dynamo 1.6.1, its frontend with its own simulated engine: while no engine is there, before the first has come
# or after the last has gone, POST /v1/chat/completions gets 404 without a body, and GET /health goes on saying
# 200 "healthy". No counter of /metrics shows these requests.
#
# Expected: 503, as it answers itself for some seconds while a killed engine's lease still runs, and an error that says
# so, as it does for a model it does not know; and a /health that a load balancer can drop it by. The paths of a kind
# of model are opened with the first model of that kind and closed with the last, so that between them the frontend has
# no such path. To a client 404 is its own mistake, not to be tried again: OpenAI's clients repeat a 503 and raise at
# once here. So a restart of the engines, which with several frontends behind one balancer would pass unseen, is an
# outage that nothing counts. What tells is `"instances":[]` in /health and an empty /v1/models.
# Seen: the lines below.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
pip() { "$work/env/bin/pip" install -q --disable-pip-version-check "$@"; }
pip ai-dynamo-runtime==1.6.1 aiohttp==3.14.5 msgspec==0.21.1 numpy==2.4.6 packaging==26.4 prometheus_client==0.26.0 \
  pyyaml==6.0.4 pyzmq==27.1.0 tqdm==4.70.1 zstandard==0.25.0
pip --no-deps ai-dynamo==1.6.1 # without transformers, which the tokenizer of neither needs
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -i '^ai-dynamo'
cd "$work"
export DYN_FILE_KV="$work/discovery" HF_HUB_OFFLINE=1
mkdir discovery
timeout 200 env/bin/python - <<'PY'
import json, os, pathlib, signal, socket, subprocess, sys, time, urllib.error, urllib.request

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

# A model's folder as the frontend wants one: a tokenizer of a few words, so that nothing has to be fetched.
words = {"<unk>": 0, "</s>": 1, "hello": 2, "world": 3}
special = [{"id": 1, "content": "</s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}]
folder = pathlib.Path("model")
folder.mkdir()
for name, value in {
    "tokenizer": {"version": "1.0", "added_tokens": special, "pre_tokenizer": {"type": "Whitespace"},
                  "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}},
    "tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>",
                         "chat_template": "{% for m in messages %}{{ m['content'] }} {% endfor %}"},
    "config": {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2,
               "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": len(words),
               "max_position_embeddings": 2048, "eos_token_id": 1},
    "generation_config": {"eos_token_id": 1},
}.items():
    (folder / f"{name}.json").write_text(json.dumps(value))

PORT = free_port()
PLANES = ["--discovery-backend", "file", "--request-plane", "tcp", "--event-plane", "zmq"]
ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}

def run(module, *flags):
    return subprocess.Popen([sys.executable, "-m", module, *PLANES, *flags], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True)

def ask(path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", json.dumps(body).encode() if body else None,
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

def until(what, holds):
    for _ in range(600):
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"not within a minute: {what}")

def counted():
    lines = ask("/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("dynamo_frontend_requests_total{"))

def show(when):
    before = counted()
    status, body = ask("/v1/chat/completions", ASK)
    health, report = ask("/health")
    told = (status, len(body) > 0, health, json.loads(report)["status"], counted() - before)
    print(f"{when}: {status} with {'a' if body else 'no'} body; /health {health} {told[3]!r}; counted {told[4]:.0f}", flush=True)
    return told

running = []
try:
    running.append(run("dynamo.frontend", "--http-host", "127.0.0.1", "--http-port", str(PORT)))
    until("the frontend answers", lambda: ask("/health")[0] == 200)
    seen = [show("no engine yet")]
    running.append(run("dynamo.mocker", "--model-path", str(folder.resolve()), "--model-name", "m"))
    until("the model is there", lambda: ask("/v1/chat/completions", ASK)[0] == 200)
    seen.append(show("one engine"))
    print("another model:", *ask("/v1/chat/completions", {**ASK, "model": "n"}), flush=True)
    os.killpg(running[1].pid, signal.SIGTERM)
    running[1].wait()
    until("the model is gone", lambda: not json.loads(ask("/v1/models")[1])["data"])
    seen.append(show("the engine has gone"))
finally:
    for process in running:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
gone = (404, False, 200, "healthy", 0)
described = seen == [gone, (200, True, 200, "healthy", 1), gone]
print("As described: an outage is the client's mistake." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
