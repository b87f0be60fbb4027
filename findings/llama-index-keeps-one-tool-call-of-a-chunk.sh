#!/usr/bin/env bash
# llama-index-llms-openai 0.8.3 with llama-index-llms-openai-like 0.8.1, LlamaIndex's client for engines of one's own:
# of several tool calls in one chunk of a stream it takes the first; the others are gone without a word.
#
# Expected: all of them. `tool_calls` of a delta is a list, and each entry has an `index` so that pieces of several
# calls can be told apart; openai's own helper joins all that is in it. But the client looks at the first entry alone.
# OpenAI names one call in a chunk; an engine that sends what several tokens made, or whatever stands in front of one
# and sends a whole answer as one chunk, may name two. An agent then does one of the two things that the model asked
# for, shows the model that one result, and no error is anywhere. The same calls in two chunks, or without a stream,
# are both there. Seen: the lines below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --no-compile --disable-pip-version-check llama-index-core==0.14.25 \
  llama-index-llms-openai==0.8.3 llama-index-llms-openai-like==0.8.1 openai==2.54.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(llama-index-(core|llms-.*)|openai)=='
cat > "$work/run.py" <<'PY'
import http.server, json, sys, threading
import openai
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

def call(city):
    return {"id": f"call_{city}", "type": "function",
            "function": {"name": "weather", "arguments": json.dumps({"city": city})}}

CALLS = [call("Rome"), call("Oslo")]
PIECES = [{"index": index, **each} for index, each in enumerate(CALLS)]

class Engine(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        about = {"id": "c", "created": 1, "model": asked["model"]}
        self.send_response(200)
        if not asked.get("stream"):
            message = {"role": "assistant", "content": None, "tool_calls": CALLS}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            body = json.dumps({**about, "object": "chat.completion", "choices": [choice]})
            self.send_header("Content-Type", "application/json")
        else:
            deltas = [{"role": "assistant", "content": None}]
            deltas += [{"tool_calls": calls} for calls in ([PIECES] if asked["model"] == "together" else zip(PIECES))]
            choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
            choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
            chunks = [{**about, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(body.encode())

engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{engine.server_port}/v1"

def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: sun"

tool = FunctionTool.from_defaults(weather)
def of_llama_index(model, stream):
    llm = OpenAILike(model=model, api_base=base, api_key="none", is_chat_model=True, is_function_calling_model=True)
    asked = {"tools": [tool], "user_msg": "How is Rome, and how is Oslo?", "allow_parallel_tool_calls": True}
    if stream:
        *_, answer = llm.stream_chat_with_tools(**asked)
    else:
        answer = llm.chat_with_tools(**asked)
    return " ".join(call.tool_kwargs["city"] for call in llm.get_tool_calls_from_response(answer))

def of_openai(model):
    client = openai.OpenAI(base_url=base, api_key="none")
    messages = [{"role": "user", "content": "How is Rome, and how is Oslo?"}]
    with client.chat.completions.stream(model=model, messages=messages) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    return " ".join(json.loads(call.function.arguments)["city"] for call in calls)

seen = {"LlamaIndex, not streamed": of_llama_index("apart", False),
        "LlamaIndex, a chunk for each call": of_llama_index("apart", True),
        "LlamaIndex, both in one chunk": of_llama_index("together", True),
        "openai, both in one chunk": of_openai("together")}
for name, cities in seen.items():
    print(f"{name}: {cities}", flush=True)
described = list(seen.values()) == ["Rome Oslo", "Rome Oslo", "Rome", "Rome Oslo"]
print("As described: the second call of a chunk is lost." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
timeout 100 "$work/env/bin/python" "$work/run.py"
