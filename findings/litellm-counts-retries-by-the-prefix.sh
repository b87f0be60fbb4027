#!/usr/bin/env bash
# litellm 1.110.2, `completion` for an engine of one's own: how often a failing request is sent depends on the prefix of
# the model, `openai/` or `hosted_vllm/`, which both stand for an OpenAI-compatible server. A 503 is sent three times by
# default with the first and once with the second, which takes `max_retries=2` and makes none; `num_retries=2` makes
# five of it with the first and three with the second, and three of a 400, which by default is sent once by both.
#
# Expected: as many attempts as were asked for, the same for both, and one for a request that the engine refuses, which
# no repetition can mend. But `openai/` has OpenAI's client below, with retries of its own; `hosted_vllm/` has
# litellm's own, which has none and drops the option; and `num_retries` is a wrapper around either that repeats on any
# error. So a change of prefix, or the other of two options of one meaning, changes the load on an engine that
# fails. Seen: the table below. Without the package tenacity, which litellm does not ask for, `num_retries` raises a
# bare Exception in place of the engine's error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check litellm==1.110.2 openai==3.57.0 tenacity==9.2.1
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(litellm|openai|tenacity)=='
cat > "$work/run.py" <<'PY'
import collections, http.server, json, sys, threading
import litellm

litellm.suppress_debug_info = True
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

def sent(prefix, status, options):
    came.clear()
    try:
        litellm.completion(model=f"{prefix}/m", messages=[{"role": "user", "content": "Hello"}], api_key="none",
                           api_base=f"http://127.0.0.1:{engine.server_port}/{status}/v1", **options)
    except Exception as error:
        if getattr(error, "status_code", None) == status:
            return came[status]
        raise
    raise SystemExit("The call did not fail.")

TABLE = {
    (503, ""): (3, 1), (503, "max_retries"): (3, 1), (503, "num_retries"): (5, 3),
    (400, ""): (1, 1), (400, "max_retries"): (1, 1), (400, "num_retries"): (3, 3),
}
described = True
for (status, option), expected in TABLE.items():
    seen = tuple(sent(prefix, status, {option: 2} if option else {}) for prefix in ("openai", "hosted_vllm"))
    print(f"{status}, {option + '=2' if option else 'by default'}: openai/ {seen[0]}, hosted_vllm/ {seen[1]}", flush=True)
    described = described and seen == expected
print("As described: the prefix decides." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
LITELLM_LOCAL_MODEL_COST_MAP=True timeout 100 "$work/env/bin/python" "$work/run.py"
