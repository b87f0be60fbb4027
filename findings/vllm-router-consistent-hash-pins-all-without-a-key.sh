#!/usr/bin/env bash
# vllm-router 0.1.17 with --policy consistent_hash: requests without a session key all go to one worker,
# however much they differ in prompt and in OpenAI's `user`; the other stands idle.
#
# Expected: without a key to hash, requests are spread (HAProxy's hash balancing falls back to round robin
# when the header is missing; the policy's name promises balance), or hashed by `user` or prompt. Seen: 40 to
# 0; with an X-Session-ID each both workers get some.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check vllm-router==0.1.17
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -i '^vllm-router=='
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
    self.chat()

engines = [engine(), engine()]
router = start(["vllm-router"], "--policy", "consistent_hash")
def spread(headers):
    asked.clear()
    for n in range(40):
        post({"model": "tiny", "user": f"user-{n}", "messages": [{"role": "user", "content": f"Question {n}"}]}, headers(n))
    return sorted(len(asked.get(each, [])) for each in engines)
without = spread(lambda n: {})
expect(f"40 users without a session: {without}", without == [0, 40])
having = spread(lambda n: {"X-Session-ID": f"session-{n}"})
expect(f"40 sessions: {having}", having[0] > 5)
router.kill()
PY
