#!/usr/bin/env bash
# LMDeploy 0.18.0's own proxy with --routing-strategy min_observed_latency: all requests go to the engine that was
# registered first, also when it takes a tenth of a second and two others would take none; these never get one.
#
# Expected: the engine whose answers took the least time of late gets more, and each is tried before. But an engine of
# which nothing has been observed counts as infinitely slow, and only what gets requests is observed: while none has
# been, the first wins, and from its first answer on it is faster than infinity for good. So a fleet has the speed of
# one engine, whichever started first, and the others stand idle, well by every check. min_expected_latency, the
# default, spreads. Seen: the table below. Run here is the proxy of the wheel (107 MB); what it imports of torch is
# stood in for.
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
cat > "$work/client.py" <<'PY'
import http.client, http.server, json, sys, threading, time

class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came += 1
        time.sleep(self.server.seconds)
        message = {"role": "assistant", "content": "Hi."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

engines = []
for seconds in (0.1, 0, 0):
    engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    engine.seconds, engine.came = seconds, 0
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    engines.append(engine)

def ask(path, body):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()

for engine in engines:
    for _ in range(300):
        try:
            ask("/nodes/add", {"url": f"http://127.0.0.1:{engine.server_port}", "status": {"models": ["m"]}})
            break
        except OSError:
            time.sleep(0.1)
for _ in range(30):
    status, _ = ask("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Hello"}]})
    assert status == 200
print(*(engine.came for engine in engines))
PY
described=yes
for strategy in min_observed_latency min_expected_latency; do
  port=$(port)
  "$work/env/bin/python" "$work/proxy.py" "$port" "$strategy" >"$work/log" 2>&1 &
  came=$(timeout 100 python3 "$work/client.py" "$port")
  echo "$strategy: $came, the first of them the slow one"
  read -r first second third <<<"$came"
  case $strategy in
    min_observed_latency) [ "$came" = "30 0 0" ] || described=no ;;
    *) [ "$((first > 0 && second > 0 && third > 0))" = 1 ] || described=no ;;
  esac
done
[ "$described" = yes ] || { echo "This has changed."; exit 1; }
echo "As described: what nobody has observed is infinitely slow."
