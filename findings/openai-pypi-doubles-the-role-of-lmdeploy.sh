#!/usr/bin/env bash
# openai 3.57.0 (PyPI), its helper `chat.completions.stream`: where an engine names the role in every delta, as LMDeploy
# 0.18.0 does, the final message's role is `assistantassistantassistant`, once for each delta. Sent back as part of the
# conversation, which is what a final message is for, it goes to the engine so.
#
# Expected: "assistant". To say again what is so already is valid in a delta, and the same helper of openai 7.59.0 (npm)
# keeps one. But the helper of PyPI joins every text of a delta except `type` to what was there, be it a piece or a name;
# so it does with a call's `id` and `name` where an engine repeats those. A loop over the chunks shows nothing of it,
# nor does an answer in one piece, nor an engine that names the role once; and the second turn of a chat meets a role that
# no template knows. Seen: the lines below. The deltas are LMDeploy's own, made by its parser of answers and
# its types out of the wheel (107 MB); the rest of it, which needs torch, is stood in for.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "dependencies": {"openai": "7.59.0"}}' >package.json
bun install --silent >/dev/null
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check openai==3.57.0 shortuuid==1.0.13
env/bin/pip install -q --disable-pip-version-check --no-deps lmdeploy==0.18.0
env/bin/pip freeze --disable-pip-version-check | grep -iE '^(openai|lmdeploy)=='

cat >engine.py <<'PY'
import http.server, importlib, json, logging, pathlib, sys, sysconfig, types

class Registry:
    def __init__(self, *_, **__): pass
    def register_module(self, *_, **__): return lambda made: made

def stand_in(name, **members):
    module = sys.modules[name] = types.ModuleType(name)
    vars(module).update(members)

site = pathlib.Path(sysconfig.get_paths()["purelib"])
for name in ("lmdeploy", "lmdeploy.serve", "lmdeploy.serve.openai", "lmdeploy.serve.parsers"):
    stand_in(name, __path__=[str(site / name.replace(".", "/"))])
stand_in("lmdeploy.utils", get_logger=logging.getLogger)
stand_in("mmengine", Registry=Registry)
protocol = importlib.import_module("lmdeploy.serve.openai.protocol")
parser = importlib.import_module("lmdeploy.serve.parsers.response_parser").BaseResponseParser

def events(asked):
    made = parser(protocol.ChatCompletionRequest(**asked))
    steps = [("Once ", None), ("upon ", None), ("a time", "stop")]
    for token, (text, finish) in enumerate(steps):
        for delta, _ in made.stream_chunk(text, [token]):
            choice = protocol.ChatCompletionResponseStreamChoice(index=0, delta=delta, finish_reason=finish)
            chunk = protocol.ChatCompletionStreamResponse(model="m", choices=[choice])
            yield f"data: {json.dumps(chunk.model_dump(mode='json', exclude_none=True))}\n\n"
    yield "data: [DONE]\n\n"

class Engine(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if len(asked["messages"]) > 1:
            print(f"{self.path.split('/')[1]}, sent back: {asked['messages'][1]['role']}", file=sys.stderr, flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write("".join(events(asked)).encode())

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
print(engine.server_port, flush=True)
engine.serve_forever()
PY
cat >client.py <<'PY'
import sys, openai
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{sys.argv[1]}/PyPI/v1", max_retries=0)
def final(messages):
    with client.chat.completions.stream(model="m", messages=messages) as stream:
        return stream.get_final_completion().choices[0].message
asked = [{"role": "user", "content": "x"}]
message = final(asked)
print(f"PyPI: {message.role}: {message.content}")
final([*asked, message, *asked])
PY
cat >client.ts <<'TS'
import OpenAI from "openai";
const client = new OpenAI({ apiKey: "none", baseURL: `http://127.0.0.1:${process.argv[2]}/npm/v1`, maxRetries: 0 });
const asked = { role: "user" as const, content: "x" };
const message = await client.chat.completions.stream({ model: "m", messages: [asked] }).finalMessage();
console.log(`npm: ${message.role}: ${message.content}`);
await client.chat.completions.stream({ model: "m", messages: [asked, message, asked] }).finalMessage();
TS

env/bin/python engine.py >port 2>back & # what the clients sent back is written to the second
for _ in $(seq 300); do [ -s port ] && break; sleep 0.1; done
out=$(timeout 60 env/bin/python client.py "$(cat port)"; timeout 60 bun client.ts "$(cat port)"; cat back)
echo "$out"
expected='PyPI: assistantassistantassistant: Once upon a time
npm: assistant: Once upon a time
PyPI, sent back: assistantassistantassistant
npm, sent back: assistant'
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: the role is joined as the words are."
