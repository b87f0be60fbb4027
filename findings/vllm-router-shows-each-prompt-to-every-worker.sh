#!/usr/bin/env bash
# vllm-router 0.1.17 with its default policy, cache_aware: before a chat completion goes to one worker, its body goes
# to every worker's /v1/chat/completions/render, and where that fails its text to that worker's /tokenize; so for each
# request, repeated or not. The completion waits for all of them, a second at most: one worker that is slow to
# answer there makes every request to any worker a second later.
#
# Expected: the prompt is compared inside the router and reaches the chosen worker alone, as with cache_aware of
# sglang-router 0.3.2, of the same ancestry. So each prompt is parsed and tokenized once by every worker's HTTP
# process and once more for its answer; what counts or logs an engine's requests finds several for one; and one
# busy or hanging engine adds a second to the time to first token of all, with nothing in it that failed.
# Seen: as printed, with three workers; and nothing of it with power_of_two.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check vllm-router==0.1.17 sglang-router==0.3.2
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(vllm-router|sglang-router)=='
timeout 150 python3 - "$work/env/bin" <<'PY'
import http.client, http.server, json, os, signal, socket, subprocess, sys, threading, time

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

came = []       # (worker's port, path, when) of each POST
slow = {}       # how many seconds a worker takes to say that it cannot render, by its port

class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, status, value):
        body = json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the router no longer waits
    def do_GET(self):
        card = {"id": "m", "object": "model", "created": 1, "owned_by": "engine"}
        about = {"model_path": "m", "served_model_name": "m", "is_generation": True}
        self.answer(200, {"object": "list", "data": [card]} if self.path == "/v1/models" else about)
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        came.append((self.server.server_port, self.path, time.monotonic(), "a story of three bears" in json.dumps(body)))
        if self.path != "/v1/chat/completions":
            time.sleep(slow.get(self.server.server_port, 0))
            return self.answer(404, {"detail": "Not Found"})
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        self.answer(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})

def engine():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port

engines = [engine() for _ in range(3)]
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Tell me a story of three bears."}]})

def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()

def seen(name, *program):
    """How many workers got the prompt on each path for one request, and how late the completion began."""
    port = free_port()
    router = subprocess.Popen(
        [*program, "--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port()),
         "--worker-urls", *(f"http://127.0.0.1:{each}" for each in engines)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(300):
            try:
                if b'"m"' in ask(port, "GET", "/v1/models")[1]:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        else:
            raise SystemExit(f"{program} does not list the model")
        for _ in range(2):  # the second shows that it is not a matter of the first
            came.clear()
            began = time.monotonic()
            status, _ = ask(port, "POST", "/v1/chat/completions", BODY)
            assert status == 200, status
            now = list(came)
        workers = {path: len({worker for worker, each, _, has in now if each == path and has})
                   for path in ("/v1/chat/completions/render", "/tokenize", "/v1/chat/completions")}
        late = next(when for _, path, when, _ in now if path == "/v1/chat/completions") - began
        print(f"{name}: the prompt came to {workers}, the completion began after {late:.1f} s", flush=True)
        return list(workers.values()), late
    finally:
        os.killpg(router.pid, signal.SIGKILL)
        router.wait()

vllm = f"{sys.argv[1]}/vllm-router"
sglang = (f"{sys.argv[1]}/python", "-m", "sglang_router.launch_router")
fast, soon = seen("vllm-router, three quick workers", vllm)
slow[engines[0]] = 3
one_slow, late = seen("vllm-router, one of them slow", vllm)
other, other_soon = seen("vllm-router, one of them slow, power_of_two", vllm, "--policy", "power_of_two")
cousin, cousin_soon = seen("sglang-router, one of them slow, cache_aware", *sglang, "--policy", "cache_aware")
described = (fast == [3, 3, 1] and one_slow == [3, 2, 1] and 0.9 < late < 2.5
             and other == cousin == [0, 0, 1] and max(soon, other_soon, cousin_soon) < 0.9)
print("As described: every worker is shown every prompt first." if described else "This has changed.")
sys.stdout.flush()
os._exit(0 if described else 1)
PY
