#!/usr/bin/env bash
# smg 1.13.0: what an engine gets of a request depends on retries. As it starts by default, and with
# --policy round_robin, a chat request is parsed and written anew: other order of members, other white space,
# `logprobs` and `stream` added. With --policy round_robin and --disable-retries the same request arrives byte
# for byte, in chunks, without a Content-Length.
#
# Expected: one of the two, whatever the retries; engines that need a Content-Length (Python's http.server, for
# one) read an empty body behind the second. Seen: both.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check smg==1.13.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -i '^smg=='
timeout 240 python3 - "$work/env/bin/smg" <<'PY'
import http.server, json, os, signal, socket, subprocess, sys, threading, time, urllib.request

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

came = []

class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path == "/v1/models":
            self.answer({"object": "list", "data": [{"id": "m", "object": "model"}]})
        else:
            self.answer({"model_path": "m", "served_model_name": "m", "status": "ok"})
    def do_POST(self):
        came.append((self.headers.get("Content-Length"), self.body()))
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        self.answer({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
    def body(self):
        length = self.headers.get("Content-Length")
        if length is not None:
            return self.rfile.read(int(length))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()
SENT = b'{ "model":"m",  "messages": [{"role":"user","content":"hi"}], "unknown_field": 1.0 }'

def through(*flags):
    port = free_port()
    router = subprocess.Popen(
        [sys.argv[1], "launch", "--host", "127.0.0.1", "--port", str(port), "--worker-urls",
         f"http://127.0.0.1:{engine.server_port}", "--prometheus-port", str(free_port()), *flags],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(300):
            came.clear()
            try:
                request = urllib.request.Request(
                    f"http://127.0.0.1:{port}/v1/chat/completions", SENT, {"Content-Type": "application/json"})
                urllib.request.urlopen(request, timeout=5).read()
                return came[-1]
            except OSError:
                time.sleep(0.1)
        raise SystemExit("smg gives no answer")
    finally:
        os.killpg(router.pid, signal.SIGKILL)
        router.wait()

for flags, passes in ([(), False], [("--policy", "round_robin"), False],
                      [("--policy", "round_robin", "--disable-retries"), True]):
    length, body = through(*flags)
    print(" ".join(flags) or "defaults", "→ Content-Length", length, body.decode())
    assert (body == SENT) == passes, "changed"
    assert (length is None) == passes, "changed"
    assert json.loads(body)["unknown_field"] == 1.0, "changed"
PY
