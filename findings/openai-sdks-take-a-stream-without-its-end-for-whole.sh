#!/usr/bin/env bash
# openai 7.59.0 (npm) and 3.57.0 (PyPI): a chat stream that ends cleanly after some words, with neither a
# `finish_reason` nor `data: [DONE]`, is a whole one to both: the loop over it ends as if nothing were missing.
#
# Expected: an error, since the protocol has two marks for the end and both are missing. So whoever stands between
# must break the connection when an engine dies in its answer: a last chunk after the last word that came hides the
# loss from nearly every client. Seen: "whole: Once upon" from both; and an error from both when the connection breaks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "dependencies": {"openai": "7.59.0"}}' >package.json
bun install --silent >/dev/null
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check openai==3.57.0

cat >engine.ts <<'TS'
const event = (content: string) =>
  `data: ${JSON.stringify({
    id: "c",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
  })}\n\n`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
const server = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    async data(socket, data) {
      if (!data.toString().includes("HTTP/1.1")) return;
      const breaks = data.toString().includes("/breaks/");
      socket.write(HEAD + chunk(event("Once ")) + chunk(event("upon")));
      socket.flush();
      await Bun.sleep(100);
      if (breaks) return socket.terminate();
      socket.write("0\r\n\r\n");
      socket.end();
    },
  },
});
console.log(server.port);
TS
cat >client.ts <<'TS'
import OpenAI from "openai";
for (const path of ["ends", "breaks"]) {
  const client = new OpenAI({ apiKey: "none", baseURL: `http://127.0.0.1:${process.argv[2]}/${path}`, maxRetries: 0 });
  let text = "";
  try {
    const stream = await client.chat.completions.create({ model: "m", stream: true, messages: [{ role: "user", content: "x" }] });
    for await (const part of stream) text += part.choices[0]?.delta.content ?? "";
    console.log(`npm, ${path}: whole: ${text}`);
  } catch {
    console.log(`npm, ${path}: error after: ${text}`);
  }
}
TS
cat >client.py <<'PY'
import sys, openai
for path in ["ends", "breaks"]:
    client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{sys.argv[1]}/{path}", max_retries=0)
    text = ""
    try:
        for part in client.chat.completions.create(model="m", stream=True, messages=[{"role": "user", "content": "x"}]):
            text += part.choices[0].delta.content or ""
        print(f"PyPI, {path}: whole: {text}")
    except Exception:
        print(f"PyPI, {path}: error after: {text}")
PY

bun engine.ts >port &
engine=$!
trap 'kill $engine 2>/dev/null || true; rm -rf "$work"' EXIT
while [ ! -s port ]; do sleep 0.1; done
out=$(timeout 60 bun client.ts "$(cat port)"; timeout 60 env/bin/python client.py "$(cat port)")
echo "$out"
expected='npm, ends: whole: Once upon
npm, breaks: error after: Once upon
PyPI, ends: whole: Once upon
PyPI, breaks: error after: Once upon'
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: only a broken connection tells these clients that words are missing."
