#!/usr/bin/env bash
# A stream whose connection breaks after its first word, and four official clients: only openai 3.57.0 (PyPI) raises its
# own connection error. anthropic 2.14.0 (PyPI) raises one of its HTTP library, openai 7.59.0 and @anthropic-ai/sdk
# 1.14.0 (npm) the TypeError of `fetch`; and their helpers of npm, `stream`, an error of the package that is no APIError.
#
# Expected: the package's connection error (`APIConnectionError`, a kind of APIError) from each of them, as all four raise
# it when the connection cannot be made. But only the request is wrapped, and in a stream the request is done with the
# headers. So `except anthropic.APIError` or `instanceof OpenAI.APIError`, by which programs repeat or tell their users
# what is the matter, misses the commonest failure of a long answer, that the engine or what stands between is
# restarted; it surfaces as a fault of the program. One generator made all four. Seen: the lines below;
# under Node.js 20, by hand, the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "dependencies": {"openai": "7.59.0", "@anthropic-ai/sdk": "1.14.0"}}' >package.json
bun install --silent >/dev/null
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check openai==3.57.0 anthropic==2.14.0

cat >engine.ts <<'TS'
const message = { id: "m", type: "message", role: "assistant", model: "m", content: [], stop_reason: null };
const usage = { input_tokens: 1, output_tokens: 1 };
const started = { type: "message_start", message: { ...message, stop_sequence: null, usage } };
const choices = [{ index: 0, delta: { role: "assistant", content: "Once " }, finish_reason: null }];
const chunk = { id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices };
const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const server = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    async data(socket, data) {
      const line = data.toString().split("\r\n")[0] ?? "";
      if (!line.includes("HTTP/1.1")) return;
      const event = line.includes("/messages") ? ["event: message_start\n", started] : ["", chunk];
      const first = `${event[0]}data: ${JSON.stringify(event[1])}\n\n`;
      socket.write(`${HEAD}${first.length.toString(16)}\r\n${first}\r\n`);
      socket.flush();
      await Bun.sleep(200);
      socket.end(); // without a last chunk
    },
  },
});
console.log(server.port);
TS
cat >client.ts <<'TS'
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
const base = `http://127.0.0.1:${process.argv[2]}`;
const messages = [{ role: "user" as const, content: "x" }];
const openai = (at: string) => new OpenAI({ apiKey: "none", baseURL: `${at}/v1`, maxRetries: 0 }).chat.completions;
const anthropic = (at: string) => new Anthropic({ apiKey: "none", baseURL: at, maxRetries: 0 }).messages;
const chat = { model: "m", messages };
const told = { ...chat, max_tokens: 9 };
const calls: Record<string, (at: string) => Promise<AsyncIterable<unknown>>> = {
  "openai, loop": (at) => openai(at).create({ ...chat, stream: true }),
  "openai, helper": async (at) => openai(at).stream(chat),
  "anthropic, loop": (at) => anthropic(at).create({ ...told, stream: true }),
  "anthropic, helper": async (at) => anthropic(at).stream(told),
};
function kind(error: unknown) {
  for (const made of [OpenAI, Anthropic]) {
    if (error instanceof made.APIConnectionError) return "APIConnectionError";
    if (error instanceof made.APIError) return "APIError";
  }
  if (error instanceof OpenAI.OpenAIError) return "OpenAIError";
  if (error instanceof Anthropic.AnthropicError) return "AnthropicError";
  return error instanceof Error ? error.constructor.name : "no error";
}
async function raised(call: (at: string) => Promise<AsyncIterable<unknown>>, at: string) {
  try {
    for await (const _ of await call(at));
    return "nothing";
  } catch (error) {
    return kind(error);
  }
}
for (const [name, call] of Object.entries(calls)) {
  const unreachable = await raised(call, "http://127.0.0.1:1");
  console.log(`npm, ${name}: unreachable ${unreachable}, broken ${await raised(call, base)}`);
}
TS
cat >client.py <<'PY'
import sys
import anthropic, openai
base = f"http://127.0.0.1:{sys.argv[1]}"
chat = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
told = {**chat, "max_tokens": 9}
options = {"api_key": "none", "max_retries": 0}
def of_openai(at): return openai.OpenAI(base_url=f"{at}/v1", **options).chat.completions
def of_anthropic(at): return anthropic.Anthropic(base_url=at, **options).messages
calls = {
    "openai, loop": lambda at: of_openai(at).create(**chat, stream=True),
    "openai, helper": lambda at: of_openai(at).stream(**chat),
    "anthropic, loop": lambda at: of_anthropic(at).create(**told, stream=True),
    "anthropic, helper": lambda at: of_anthropic(at).stream(**told),
}
def raised(call, at):
    try:
        with call(at) as stream:
            for _ in stream:
                pass
        return "nothing"
    except Exception as error:
        of = type(error).__module__.split(".")[0]
        return type(error).__name__ if of in ("openai", "anthropic") else f"{of}.{type(error).__name__}"
for name, call in calls.items():
    print(f"PyPI, {name}: unreachable {raised(call, 'http://127.0.0.1:1')}, broken {raised(call, base)}", flush=True)
PY

bun engine.ts >port &
engine=$!
trap 'kill $engine 2>/dev/null || true; rm -rf "$work"' EXIT
while [ ! -s port ]; do sleep 0.1; done
out=$(timeout 60 bun client.ts "$(cat port)"; timeout 60 env/bin/python client.py "$(cat port)")
echo "$out"
expected='npm, openai, loop: unreachable APIConnectionError, broken TypeError
npm, openai, helper: unreachable APIConnectionError, broken OpenAIError
npm, anthropic, loop: unreachable APIConnectionError, broken TypeError
npm, anthropic, helper: unreachable APIConnectionError, broken AnthropicError
PyPI, openai, loop: unreachable APIConnectionError, broken APIConnectionError
PyPI, openai, helper: unreachable APIConnectionError, broken APIConnectionError
PyPI, anthropic, loop: unreachable APIConnectionError, broken httpx2.RemoteProtocolError
PyPI, anthropic, helper: unreachable APIConnectionError, broken httpx2.RemoteProtocolError'
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: three of four leave the error of a broken stream as it came."
