#!/usr/bin/env bash
# A 429 with `Retry-After: 600`, and four official clients with their defaults. openai 7.59.0 (npm) sends the request
# three times within two seconds and raises; openai 3.57.0 (PyPI) sends it once and raises at once;
# @anthropic-ai/sdk 1.14.0 (npm) and anthropic 2.14.0 (PyPI) send it once and wait the ten minutes inside the call.
# At 90 seconds openai of npm sends three as well and the others wait; at 60 all four wait.
#
# Expected: one behaviour, since one generator has made all four: to obey, or to take more than a minute for no
# advice, as in openai 4.80.0 and 1.60.0 and their siblings of that time. So what an engine or a router gains by
# naming a time depends on the client's language: to one, the longer the time, the sooner the next attempt.
# Whoever wants OpenAI's JavaScript clients away names 60 or less, or says `x-should-retry: false`.
# Seen: the attempts below, four seconds after the call.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "dependencies": {"openai": "7.59.0", "@anthropic-ai/sdk": "1.14.0"}}' >package.json
bun install --silent >/dev/null
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check openai==3.57.0 anthropic==2.14.0

cat >engine.ts <<'TS'
const asked: Record<string, number> = {};
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request) {
    const [, name = "", seconds = "", ...rest] = new URL(request.url).pathname.split("/");
    if (name === "asked") return new Response(String(asked[seconds] ?? 0));
    if (rest.length > 0) asked[`${name}-${seconds}`] = (asked[`${name}-${seconds}`] ?? 0) + 1;
    const error = { message: "The queue is full.", type: "rate_limit_error" };
    return Response.json({ type: "error", error }, { status: 429, headers: { "retry-after": seconds } });
  },
});
console.log(server.port);
TS
cat >client.ts <<'TS'
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
const base = `http://127.0.0.1:${process.argv[2]}`;
const messages = [{ role: "user" as const, content: "Hello" }];
const calls = {
  "npm-openai": (at: string) => new OpenAI({ apiKey: "none", baseURL: `${at}/v1` }).chat.completions.create({ model: "m", messages }),
  "npm-anthropic": (at: string) => new Anthropic({ apiKey: "none", baseURL: at }).messages.create({ model: "m", max_tokens: 9, messages }),
};
async function line(name: keyof typeof calls, seconds: number) {
  const called = calls[name](`${base}/${name}/${seconds}`).then(() => "answered", () => "raised");
  const state = await Promise.race([called, Bun.sleep(4_000).then(() => "waits")]);
  const attempts = await (await fetch(`${base}/asked/${name}-${seconds}`)).text();
  return `${name}, Retry-After ${seconds}: ${attempts} sent, ${state}`;
}
const names = ["npm-openai", "npm-anthropic"] as const;
const lines = await Promise.all(names.flatMap((name) => [60, 90, 600].map((seconds) => line(name, seconds))));
console.log(lines.join("\n"));
process.exit(0);
TS
cat >client.py <<'PY'
import os, sys, threading, urllib.request
import anthropic, openai
base = f"http://127.0.0.1:{sys.argv[1]}"
messages = [{"role": "user", "content": "Hello"}]
calls = {
    "PyPI-openai": lambda at: openai.OpenAI(api_key="none", base_url=f"{at}/v1").chat.completions.create(model="m", messages=messages),
    "PyPI-anthropic": lambda at: anthropic.Anthropic(api_key="none", base_url=at).messages.create(model="m", max_tokens=9, messages=messages),
}
def call(name, seconds, state):
    try:
        calls[name](f"{base}/{name}/{seconds}")
        state.append("answered")
    except Exception:
        state.append("raised")
started = []
for name in calls:
    for seconds in (60, 90, 600):
        state = []
        thread = threading.Thread(target=call, args=(name, seconds, state), daemon=True)
        thread.start()
        started.append((name, seconds, state, thread))
threading.Event().wait(4)
for name, seconds, state, _ in started:
    attempts = urllib.request.urlopen(f"{base}/asked/{name}-{seconds}").read().decode()
    print(f"{name}, Retry-After {seconds}: {attempts} sent, {state[0] if state else 'waits'}", flush=True)
os._exit(0)
PY

bun engine.ts >port &
engine=$!
trap 'kill $engine 2>/dev/null || true; rm -rf "$work"' EXIT
while [ ! -s port ]; do sleep 0.1; done
out=$(timeout 60 bun client.ts "$(cat port)"; timeout 60 env/bin/python client.py "$(cat port)")
echo "$out"
expected='npm-openai, Retry-After 60: 1 sent, waits
npm-openai, Retry-After 90: 3 sent, raised
npm-openai, Retry-After 600: 3 sent, raised
npm-anthropic, Retry-After 60: 1 sent, waits
npm-anthropic, Retry-After 90: 1 sent, waits
npm-anthropic, Retry-After 600: 1 sent, waits
PyPI-openai, Retry-After 60: 1 sent, waits
PyPI-openai, Retry-After 90: 1 sent, waits
PyPI-openai, Retry-After 600: 1 sent, raised
PyPI-anthropic, Retry-After 60: 1 sent, waits
PyPI-anthropic, Retry-After 90: 1 sent, waits
PyPI-anthropic, Retry-After 600: 1 sent, waits'
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: hurried on, given up or slept through, by the client's package."
