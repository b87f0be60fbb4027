#!/usr/bin/env bash
# vllm-router 0.1.17, sglang-router 0.3.2 and smg 1.13.0: the histograms of their metrics that are named after the
# duration of a request hold, for a stream, the time to its headers. A stream of two seconds counts as some hundredths
# of one, an answer in one piece that takes two seconds as two; both stand in one series.
#
# Expected: the time to the last byte, as nginx's $request_time and Envoy's `downstream_rq_time` have it, or two series,
# by the label `streaming` that sglang-router and smg have on their counter beside it. But it is observed when the
# handler has returned, and a stream's handler returns its head. So an engine that sends the head at once and its words
# late, or one that slows to a crawl in the middle, moves nothing here; the mean, sum by count, falls when more clients
# stream; and an alert on the 99th percentile watches those alone that do not. Seen: the lines below.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --no-compile --disable-pip-version-check \
  vllm-router==0.1.17 sglang-router==0.3.2 smg==1.13.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(vllm-router|sglang-router|smg)=='
timeout 150 python3 - "$work/env/bin/python" <<'PY'
import http.client, http.server, json, os, re, signal, socket, subprocess, sys, threading, time

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

SECONDS = 2

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
    def event(self, data):
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
    def do_GET(self):
        card = {"id": "m", "object": "model", "created": 1, "owned_by": "engine"}
        about = {"model_path": "m", "served_model_name": "m", "is_generation": True}
        self.answer({"object": "list", "data": [card]} if self.path == "/v1/models" else about)
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": "Hi."}
        about = {"id": "c", "created": 1, "model": "m"}
        if not request.get("stream"):
            time.sleep(SECONDS)
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            return self.answer({**about, "object": "chat.completion", "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for delta, reason in ((message, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self.event(json.dumps({**about, "object": "chat.completion.chunk", "choices": [choice]}))
            time.sleep(SECONDS / 2)
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()

def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    return connection.getresponse().read().decode()

def durations(port, names):
    """By histogram: how many were observed, and their sum."""
    page, found = ask(port, "GET", "/metrics"), {}
    for name in names:
        mine = r"(?:\{[^}]*(?:endpoint=\"chat\"|/chat/completions)[^}]*\})?" # or without labels
        for part in ("count", "sum"):
            line = re.search(rf"^{name}_{part}{mine} (\S+)$", page, re.M)
            found[name, part] = float(line[1]) if line else 0.0
    return found

ROUTERS = {"vllm_router": ["vllm_router_generate_duration_seconds"],
           "sglang_router": ["smg_http_request_duration_seconds", "smg_router_request_duration_seconds"],
           "smg": ["smg_http_request_duration_seconds", "smg_router_request_duration_seconds"]}
described = True
for module, names in ROUTERS.items():
    port, metrics_port = free_port(), free_port()
    router = subprocess.Popen(
        [sys.argv[1], "-m", f"{module}.launch_router", "--policy", "round_robin", "--host", "127.0.0.1",
         "--port", str(port), "--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics_port),
         "--worker-urls", f"http://127.0.0.1:{engine.server_port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(300):
            try:
                if '"m"' in ask(port, "GET", "/v1/models"):
                    break
            except OSError:
                pass
            time.sleep(0.1)
        else:
            raise SystemExit(f"{module} does not list the model")
        before = durations(metrics_port, names)
        for stream in (True, False):
            body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hello"}]}
            began = time.monotonic()
            end = ask(port, "POST", "/v1/chat/completions", json.dumps(body))[-8:].strip()
            took = time.monotonic() - began
            for _ in range(50): # until it is counted
                after = durations(metrics_port, names)
                if all(after[name, "count"] > before[name, "count"] for name in names):
                    break
                time.sleep(0.1)
            for name in names:
                counted, total = (after[name, part] - before[name, part] for part in ("count", "sum"))
                print(f"{'stream' if stream else 'whole '} of {took:.1f} s: {name} + {total:.2f}", flush=True)
                described = described and counted == 1 and took >= SECONDS and end.endswith("[DONE]") == stream
                described = described and (total < SECONDS / 2 if stream else total >= SECONDS * 0.95)
            before = after
    finally:
        os.killpg(router.pid, signal.SIGKILL)
        router.wait()
print("As described: streams last as long as their heads." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
