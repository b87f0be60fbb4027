#!/usr/bin/env bash
# smg 1.13.0: when a worker's connection breaks in the middle of a streamed answer, the client's stream goes
# on with an error event, `data: [DONE]` and a proper last chunk: by HTTP and by the sentinel it is a complete
# answer with status 200.
#
# Expected: a broken connection, as from sglang-router 0.3.2 and vllm-router 0.1.17 of the same ancestry (curl
# ends with 18 there): whatever counts streams by their end (access logs, load balancers, clients that read
# until [DONE]) takes this one for whole. Seen: chunked body ended with its last chunk, last event [DONE], an
# `error` without a `code` before it.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check smg==1.13.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -i '^smg=='
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
    self.send_response(200)
    self.send_header("Content-Type", "text/event-stream")
    self.send_header("Transfer-Encoding", "chunked")
    self.end_headers()
    choice = {"index": 0, "delta": {"role": "assistant", "content": "Once"}, "finish_reason": None}
    event = b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "tiny", "choices": [choice]}).encode() + b"\n\n"
    self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
    self.wfile.flush()
    time.sleep(0.2)
    self.close_connection = True
    self.connection.shutdown(socket.SHUT_RDWR)

engines = [engine()]
router = start(["smg", "launch"], "--policy", "round_robin")
try:
    status, text = post({**HELLO, "stream": True})
except http.client.IncompleteRead:
    status, text = 0, "a broken connection"
events = [line for line in text.split("\n") if line]
print("\n".join(events))
expect(f"status {status}, body complete by its framing, last event {events[-1]}", status == 200 and events[-1] == "data: [DONE]")
expect("before it an error event without a code", '"error"' in events[-2] and '"code"' not in events[-2])
router.kill()
PY
