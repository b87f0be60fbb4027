#!/usr/bin/env bash
# LMDeploy 0.18.0's own proxy (`lmdeploy serve proxy`): what an engine refuses or fails with, 400, 429 or 503, is 200 to
# the client unless it asked for a stream; so is an engine that is not there, and that to a stream as well. The same
# refusal of a stream keeps its status.
#
# Expected: the engine's status in both, as from any other router, since clients decide by the status alone. But of an
# answer in one piece the proxy keeps the text and makes a new answer of it. OpenAI's clients then raise nothing and
# hand over a completion without `choices`, so that the program fails lines later; no client tries again; access logs
# and error rates show a fleet without a fault; and whoever tried it with a stream saw the right status.
# Seen: the table below. Run here is the proxy of the wheel (107 MB); what it imports of torch is stood in for.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
pip() { "$work/env/bin/pip" install -q --no-compile --disable-pip-version-check "$@"; }
pip aiohttp==3.14.5 fastapi==0.165.0 numpy==2.4.6 pydantic==2.14.4 requests==2.34.2 shortuuid==1.0.13 \
  starlette==1.10.0 uvicorn==0.54.0
pip --no-deps lmdeploy==0.18.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -i '^lmdeploy=='
cat > "$work/proxy.py" <<'PY'
import logging, pathlib, sys, sysconfig, types

def stand_in(name, **members):
    module = sys.modules[name] = types.ModuleType(name)
    vars(module).update(members)

site = pathlib.Path(sysconfig.get_paths()["purelib"])
for name in ("", ".pytorch", ".pytorch.disagg", ".serve", ".serve.core", ".serve.openai", ".serve.utils"):
    stand_in("lmdeploy" + name, __path__=[str(site / f"lmdeploy{name}".replace(".", "/"))])
for name in ("logger", "utils"):
    stand_in(f"lmdeploy.{name}", get_logger=logging.getLogger)
from lmdeploy.serve.proxy.proxy import proxy
proxy(server_name="127.0.0.1", server_port=int(sys.argv[1]), routing_strategy=sys.argv[2], disable_cache_status=True,
      log_level="CRITICAL")
PY
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(port)
"$work/env/bin/python" "$work/proxy.py" "$port" min_expected_latency >"$work/log" 2>&1 &
timeout 100 python3 - "$port" <<'PY'
import http.client, http.server, json, sys, threading, time

class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        error = {"object": "error", "message": "The engine says no.", "type": "error", "code": refusal}
        body = json.dumps(error).encode()
        self.send_response(refusal)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()

def ask(path, body):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode().strip()

def add(port):
    return ask("/nodes/add", {"url": f"http://127.0.0.1:{port}", "status": {"models": ["m"]}})

for _ in range(300):
    try:
        add(engine.server_port)
        break
    except OSError:
        time.sleep(0.1)
chat = {"messages": [{"role": "user", "content": "Hello"}]}
paths = {"/v1/chat/completions": chat, "/v1/completions": {"prompt": "Hello"}}
def both(path):
    return [ask(path, {"model": "m", "stream": stream, **paths[path]}) for stream in (False, True)]
described = True
for path in paths:
    for refusal in (400, 429, 503):
        (whole, text), (streamed, _) = both(path)
        print(f"{path}: engine {refusal}, client {whole}, with `stream` {streamed}", flush=True)
        described = described and (whole, streamed) == (200, refusal) and json.loads(text)["code"] == refusal
ask("/nodes/remove", {"url": f"http://127.0.0.1:{engine.server_port}"})
engine.shutdown()
engine.server_close()
add(engine.server_port)
(whole, text), (streamed, event) = both("/v1/chat/completions")
print(f"engine not there: client {whole} {text}, with `stream` {streamed} {event}")
described = described and (whole, streamed) == (200, 200) and "10402" in text and "10402" in event
print("As described: 200 in place of the engine's status." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
