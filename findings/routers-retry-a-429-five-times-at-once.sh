#!/usr/bin/env bash
# vllm-router 0.1.17, sglang-router 0.3.2 and smg 1.13.0 with their defaults, in front of one engine: a 429 with
# `Retry-After: 30` is followed by four more attempts at the same engine within a second; then the client gets
# the 429.
#
# Expected: the 429 is passed on at once, since the engine has said that it is full and until when (RFC 6585, 4;
# RFC 9110, 10.2.3), as nginx and Envoy do by default; or no attempt comes before its time. So a queue that refuses
# is knocked at five times as often just when it is full, and by a client that itself makes three attempts, as
# OpenAI's do, fifteen times. Seen: five requests in half a second from each of the three, then 429 with the
# engine's Retry-After.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check vllm-router==0.1.17 sglang-router==0.3.2 smg==1.13.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(vllm-router|sglang-router|smg)=='
timeout 150 python3 - "$work/env/bin" <<'PY'
import http.client, http.server, json, os, signal, socket, subprocess, sys, threading, time

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

came = []

class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, status, value, **headers):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        card = {"id": "m", "object": "model", "created": 1, "owned_by": "engine"}
        about = {"model_path": "m", "served_model_name": "m", "is_generation": True}
        self.answer(200, {"object": "list", "data": [card]} if self.path == "/v1/models" else about)
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/chat/completions":
            return self.answer(404, {"error": {"message": "There is no such path.", "code": 404}})
        came.append(time.monotonic())
        self.answer(429, {"error": {"message": "The queue is full.", "code": 429}}, Retry_After="30")

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]})

def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.getheader("Retry-After"), answer.read()

def through(*program):
    port = free_port()
    router = subprocess.Popen(
        [*program, "--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port()),
         "--worker-urls", f"http://127.0.0.1:{engine.server_port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(300):
            try:
                if b'"m"' in ask(port, "GET", "/v1/models")[2]:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        else:
            raise SystemExit(f"{program} does not list the model")
        came.clear()
        began = time.monotonic()
        status, after, _ = ask(port, "POST", "/v1/chat/completions", BODY)
        return len(came), came[-1] - began, status, after
    finally:
        os.killpg(router.pid, signal.SIGKILL)
        router.wait()

described = True
# By module: sglang-router, too, installs a command `smg`, its own.
for name in ("vllm-router", "smg", "sglang-router"):
    program = (f"{sys.argv[1]}/python", "-m", f"{name.replace('-', '_')}.launch_router")
    attempts, seconds, status, after = through(*program)
    print(f"{name}: {attempts} attempts in {seconds:.1f} s, then {status} with Retry-After {after}", flush=True)
    described = described and (attempts, status, after) == (5, 429, "30") and seconds < 5
print("As described: thirty seconds are not waited for." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
