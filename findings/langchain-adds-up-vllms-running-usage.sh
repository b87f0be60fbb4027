#!/usr/bin/env bash
# langchain-openai 1.7.4 with langchain-core 1.8.3 and vLLM's `"stream_options": {"continuous_usage_stats": true}`, the
# usage so far in every chunk: the message that a stream adds up to has the prompt's tokens once for each chunk, and of
# the answer's 0 + 1 + 2 and so on. A prompt of 1000 tokens and an answer of 20 are 22,000 and 230.
#
# Expected: 1000 and 20. What counts so far is replaced by the next, as the option's name says and as in OpenAI's
# protocol, where `usage` is that of the whole request whichever chunk it is in; openai's own helper keeps the last.
# But every `usage` that comes becomes the usage of its piece, and the sum of the pieces adds them. One asks for it to
# know what a stream has cost that was cut, and SGLang and others have the option by the same name; costs and
# limits are then off by as much as the answer is long, a short test by little. Seen: the two lines below, from an
# engine that sends what vLLM sends; whoever wants the count takes the last piece's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --no-compile --disable-pip-version-check \
  langchain-core==1.8.3 langchain-openai==1.7.4 openai==3.57.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(langchain-core|langchain-openai|openai)=='
cat > "$work/run.py" <<'PY'
import http.server, json, sys, threading
import openai
from langchain_openai import ChatOpenAI

PROMPT, ANSWER = 1000, 20

class Engine(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_POST(self):
        options = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["stream_options"]
        assert options["include_usage"]
        about = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        def usage(tokens):
            return {"usage": {"prompt_tokens": PROMPT, "completion_tokens": tokens, "total_tokens": PROMPT + tokens}}
        def chunk(tokens, delta, reason=None):
            choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
            return {**about, "choices": choices, **(usage(tokens) if options.get("continuous_usage_stats") else {})}
        chunks = [chunk(0, {"role": "assistant", "content": ""})]
        chunks += [chunk(count, {"content": "word "}) for count in range(1, ANSWER)]
        chunks += [chunk(ANSWER, {"content": "end"}, "stop"), {**about, "choices": [], **usage(ANSWER)}]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write("".join(f"data: {json.dumps(each)}\n\n" for each in chunks).encode() + b"data: [DONE]\n\n")

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{engine.server_port}/v1"

def of_langchain(options):
    chat = ChatOpenAI(model="m", base_url=base, api_key="none", extra_body={"stream_options": options})
    whole = None
    for piece in chat.stream("Say something."):
        whole = piece if whole is None else whole + piece
    return whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]

def of_openai(options):
    client = openai.OpenAI(base_url=base, api_key="none")
    messages = [{"role": "user", "content": "Say something."}]
    with client.chat.completions.stream(model="m", messages=messages, stream_options=options) as stream:
        usage = stream.get_final_completion().usage
    return usage.prompt_tokens, usage.completion_tokens

described = True
for options, times in (({"include_usage": True}, 1),
                       ({"include_usage": True, "continuous_usage_stats": True}, ANSWER + 2)):
    langchain, other = of_langchain(options), of_openai(options)
    print(f"{json.dumps(options)}: LangChain {langchain}, openai {other}", flush=True)
    answer = ANSWER if times == 1 else sum(range(ANSWER + 1)) + ANSWER
    described = described and langchain == (PROMPT * times, answer) and other == (PROMPT, ANSWER)
print("As described: running totals are added up." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
timeout 100 "$work/env/bin/python" "$work/run.py"
