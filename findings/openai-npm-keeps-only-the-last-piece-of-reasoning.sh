#!/usr/bin/env bash
# openai 7.59.0 (npm), its helper `chat.completions.stream`: of the reasoning that an engine streams beside the words
# (`reasoning` from vLLM, `reasoning_content` from SGLang and LMDeploy) the final message holds the last piece alone,
# while the words are whole; and `runTools` sends back none of it between two calls of tools.
#
# Expected: whole, as from the same helper of openai 3.57.0 (PyPI), or absent, since OpenAI's own API has no such field.
# But of a delta the helper joins the members that it knows and writes each other one over what was there. The member is
# there and its type is right, so that a test with a short thought, in one piece, looks well, and what a chat shows or
# keeps after the stream is the rest of a sentence. `runTools` has the member in its `messages` too, and takes it out of
# what it sends: engines whose template shows a model its thoughts since the user's last word, as Qwen3's does, show it
# none. Whoever needs the reasoning adds up the deltas and writes the loop over tools himself. Seen: the lines below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "dependencies": {"openai": "7.59.0"}}' >package.json
bun install --silent >/dev/null
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check openai==3.57.0

cat >engine.ts <<'TS'
const call = { index: 0, id: "call_1", type: "function", function: { name: "add", arguments: '{"a":2}' } };
const thought = ["Two ", "and ", "two ", "it is."].map((piece) => ({ reasoning: piece, reasoning_content: piece }));
const event = (delta: object, finish_reason: string | null = null) => {
  const choices = [{ index: 0, delta, finish_reason }];
  return `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices })}\n\n`;
};
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const { messages, tools } = await request.json();
    const earlier = messages.find((message: { role: string }) => message.role === "assistant");
    if (earlier) console.error(`sent back: ${Object.keys(earlier)}`);
    const calls = tools && !earlier;
    const words = [event({ content: "Fo" }), event({ content: "ur." }), event({}, "stop")];
    const rest = calls ? [event({ tool_calls: [call] }), event({}, "tool_calls")] : words;
    const events = [event({ role: "assistant", content: "" }), ...thought.map((delta) => event(delta)), ...rest];
    return new Response(`${events.join("")}data: [DONE]\n\n`, { headers: { "content-type": "text/event-stream" } });
  },
});
console.log(server.port);
TS
cat >client.ts <<'TS'
import OpenAI from "openai";
const client = new OpenAI({ apiKey: "none", baseURL: `http://127.0.0.1:${process.argv[2]}/v1` });
const asked = { model: "m", messages: [{ role: "user" as const, content: "x" }] };
type Reasoned = { content?: string | null; reasoning?: string; reasoning_content?: string };
const final: Reasoned = await client.chat.completions.stream(asked).finalMessage();
console.log(`npm, stream: ${final.reasoning} | ${final.reasoning_content} | ${final.content}`);
const add = {
  type: "function" as const,
  function: { name: "add", description: "", parameters: { type: "object" }, parse: JSON.parse, function: () => "4" },
};
const runner = client.chat.completions.runTools({ ...asked, stream: true, tools: [add] });
await runner.done();
const kept = runner.messages.find((message) => message.role === "assistant");
console.log(`npm, runTools, kept: ${Object.keys(kept ?? {}).filter((name) => name.startsWith("reasoning"))}`);
TS
cat >client.py <<'PY'
import sys, openai
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{sys.argv[1]}/v1")
with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "x"}]) as stream:
    final = stream.get_final_completion().choices[0].message
print(f"PyPI, stream: {final.reasoning} | {final.reasoning_content} | {final.content}")
PY

bun engine.ts >port 2>back & # what the client sent back is written to the second
engine=$!
trap 'kill $engine 2>/dev/null || true; rm -rf "$work"' EXIT
while [ ! -s port ]; do sleep 0.1; done
out=$(timeout 60 bun client.ts "$(cat port)"; sed 's/^/npm, runTools, /' back)
out+=$'\n'$(timeout 60 env/bin/python client.py "$(cat port)")
echo "$out"
expected='npm, stream: it is. | it is. | Four.
npm, runTools, kept: reasoning,reasoning_content
npm, runTools, sent back: role,content,tool_calls
PyPI, stream: Two and two it is. | Two and two it is. | Four.'
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: the last piece stands for the whole, and none goes back to the engine."
