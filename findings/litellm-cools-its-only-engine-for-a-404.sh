#!/usr/bin/env bash
# litellm 1.110.2, `Router` with its defaults and one engine: after one 404 the engine is asked nothing for five
# seconds, and every request for that model gets 429 "No deployments available". After a 503 or a 429, each met at all
# three attempts, it is asked by the next request as before. With a second engine the request that met the 404 is not
# tried there, and those behind it go there alone.
#
# Expected: the other way round. 503 and 429 say that an engine can take no more; 404 that it is up and lacks what was
# named, for as long as an adapter is loaded anew, or a router as Dynamo's has no engine. The Router keeps the only
# engine of a model in spite of 503 and 429, since there is no other; but 404, and 401, end in a branch for statuses
# that no retry can mend, which does not ask whether there is one, and the attempt elsewhere falls away too. So a moment
# without a model becomes five seconds, and in the words of a limit of rate that nobody set.
# Seen: the lines below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check litellm==1.110.2 openai==3.57.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(litellm|openai)=='
cat > "$work/run.py" <<'PY'
import collections, http.server, json, sys, threading
import litellm

litellm.suppress_debug_info = True
came = collections.Counter()
fails = {} # the status that an engine answers with, by its path

class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.split("/")[1]
        came[name] += 1
        status = fails.get(name, 200)
        message = {"role": "assistant", "content": "Hello"}
        value = {"error": {"message": "no", "type": "engine", "code": status}} if status != 200 else {
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()

def router(*names):
    base = f"http://127.0.0.1:{engine.server_port}"
    return litellm.Router(model_list=[
        {"model_name": "chat", "litellm_params": {"model": "hosted_vllm/m", "api_base": f"{base}/{name}/v1", "api_key": "none"}}
        for name in names])

def ask(over):
    """The status a caller gets, and which engines were asked on the way."""
    came.clear()
    try:
        over.completion(model="chat", messages=[{"role": "user", "content": "Hello"}])
        status = 200
    except Exception as error:
        status = getattr(error, "status_code", None)
    return status, {name: 1 for name in sorted(came)}

described = True
for status, after in ((404, (429, {})), (400, (200, {"a": 1})), (429, (200, {"a": 1})), (503, (200, {"a": 1}))):
    one = router("a")
    fails["a"] = status
    first = ask(one)
    del fails["a"]
    then = ask(one)
    print(f"one engine: a {status} reaches the caller as {first[0]}; the next good request: {then[0]},",
          "the engine was asked" if then[1] else "the engine was not asked", flush=True)
    described = described and first == (status, {"a": 1}) and then == after

two = router("a", "b")
fails["a"] = 404
for _ in range(40): # until the first of them goes to `a`
    first = ask(two)
    if first[0] != 200:
        break
del fails["a"]
asked = collections.Counter()
for _ in range(10):
    asked.update(ask(two)[1])
print(f"two engines: a 404 of one reaches the caller as {first[0]}, having asked {len(first[1])}; of the next 10 that one gets {asked['a']}")
described = described and first == (404, {"a": 1}) and asked == {"b": 10}
print("As described: a 404 takes an engine away, a 503 does not." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
LITELLM_LOCAL_MODEL_COST_MAP=True timeout 120 "$work/env/bin/python" "$work/run.py"
