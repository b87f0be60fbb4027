#!/usr/bin/env bash
# langchain-core 1.8.3 with langchain-openai 1.7.4: `ChatOpenAI(...).with_retry(stop_after_attempt=3)` sends a request
# that the engine refuses with 400 three times, seconds apart; one that meets a 500 nine times; and a stream,
# `.stream(...)`, that meets a 500 no more often than without it.
#
# Expected: what cannot succeed is sent once, as by OpenAI's client below, whose answer to 400 is not to try again;
# attempts as many as were named; and the same for `invoke` and `stream`. But by default every exception is a reason;
# each attempt is one of the wrapper, in each of which the client makes its own three; and the wrapper has no `stream`
# of its own and hands it to what it wraps. So a prompt that is too long costs an engine three answers and the
# user seconds, an engine that fails gets nine requests for one, and streams, which most chats are, gain nothing.
# Whoever wants one rule sets `max_retries` at ChatOpenAI and leaves the wrapper out. Seen: the table below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check langchain-core==1.8.3 langchain-openai==1.7.4 openai==3.3.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(langchain.core|langchain.openai|openai)=='
cat > "$work/run.py" <<'PY'
import collections, http.server, json, sys, threading
from langchain_openai import ChatOpenAI

came = collections.Counter()

class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        status = int(self.path.split("/")[1])
        came[status] += 1
        body = json.dumps({"error": {"message": "no", "type": "engine", "code": status}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()

def sent(status, wrapped, streams):
    came.clear()
    model = ChatOpenAI(model="m", api_key="none", base_url=f"http://127.0.0.1:{engine.server_port}/{status}/v1")
    if wrapped:
        model = model.with_retry(stop_after_attempt=3)
    try:
        if streams:
            list(model.stream("Hello"))
        else:
            model.invoke("Hello")
    except Exception:
        return came[status]
    raise SystemExit("The call did not fail.")

described = True
for status, streams, expected in ((400, False, (1, 3)), (500, False, (3, 9)), (400, True, (1, 1)), (500, True, (3, 3))):
    seen = (sent(status, False, streams), sent(status, True, streams))
    print(f"{'stream' if streams else 'invoke'}, {status}: {seen[0]} requests, with_retry(stop_after_attempt=3): {seen[1]}", flush=True)
    described = described and seen == expected
print("As described: refusals are repeated, streams are not." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
LANGSMITH_TRACING=false timeout 100 "$work/env/bin/python" "$work/run.py"
