#!/usr/bin/env bash
# sglang-router 0.3.2 with its defaults: ten requests that a healthy worker refuses with 400 (a prompt beyond
# the context, a wrong parameter) open the worker's circuit breaker, and the next good request gets 503 "No
# available workers" without the worker being asked.
#
# Expected: a 4xx is the client's fault and says that the worker is well, as in Envoy's outlier detection,
# which counts 5xx; vllm-router 0.1.17, of the same ancestry, passes any number of 400s on. Seen on Linux
# x86-64: 400 ten times, then 503 for at least 10 s.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check sglang-router==0.3.2
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -i '^sglang-router=='
timeout 120 python3 - "$work" <<'PY'
import http.client, http.server, json, os, signal, socket, subprocess, sys, threading, time

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        card = {"id": "tiny", "object": "model", "created": 1, "owned_by": "engine"}
        about = {"model_path": "tiny", "served_model_name": "tiny", "is_generation": True}
        self.answer(200, {"object": "list", "data": [card]} if self.path == "/v1/models" else about)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked.setdefault(self.server.server_port, []).append(json.loads(body))
        respond(self, json.loads(body))
    def chat(self):
        choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        self.answer(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [choice], "usage": usage})

# What each engine was asked, by its port.
asked = {}

def engine():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port

def post(body, headers={}):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()

def start(program, *flags):
    """The router in front of the engines, once it lists the model."""
    urls = [f"http://127.0.0.1:{each}" for each in engines]
    command = [f"{sys.argv[1]}/env/bin/{program[0]}", *program[1:], "--host", "127.0.0.1", "--port", str(port),
               "--prometheus-port", str(free_port()), "--worker-urls", *urls, *flags]
    router = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v1/models")
            if b"tiny" in connection.getresponse().read():
                return router
        except OSError:
            pass
        time.sleep(0.1)
    router.kill()
    sys.exit("the router did not start")

def expect(what, holds):
    print(("seen: " if holds else "CHANGED: ") + what, flush=True)
    if not holds:
        router.kill()
        os._exit(1)

port = free_port()
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
def respond(self, body):
    if body["messages"][0]["content"] == "Hello": self.chat()
    else: self.answer(400, {"error": {"message": "This model's maximum context length is 8 tokens", "type": "BadRequestError", "code": 400}})

engines = [engine()]
router = start(["sglang-router", "launch"], "--policy", "round_robin")
before = post(HELLO)[0]
expect(f"a good request is answered with {before}", before == 200)
long = {"model": "tiny", "messages": [{"role": "user", "content": "x " * 99}]}
refused = [post(long)[0] for _ in range(10)]
expect(f"ten prompts that are too long get {refused}", refused == [400] * 10)
count = len(asked[engines[0]])
status, text = post(HELLO)
expect(f"then a good request gets {status} {text}", status == 503)
time.sleep(10)
status, text = post(HELLO)
expect(f"and 10 s later {status}", status == 503)
expect("the worker, which is well, was not asked", len(asked[engines[0]]) == count)
router.kill()
PY
