#!/usr/bin/env bash
# elysia 1.4.30 and hono 4.13.19: when the source of a streamed answer throws after its first piece, the client
# gets a proper end. Elysia does so for a handler that is a generator, with `sse` or without, and for one that
# returns a ReadableStream; Hono for `stream`, `streamText` and `streamSSE`. The same ReadableStream inside
# `new Response(...)` breaks the connection in both.
#
# Expected: a broken connection. The status is gone, so only the missing last chunk can tell that something is
# missing (RFC 9112, 8), and Bun below both breaks off what fails. A gateway whose handler loops over an engine's stream
# and yields its events looks right until the engine dies: the loop throws, and the client, the access log and the
# load balancer in front see 200 and the whole of an answer. Seen: "whole" and "broken" as listed, over HTTP.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true, "dependencies": {"elysia": "1.4.30", "hono": "4.13.19"}}' >package.json
bun install --silent >/dev/null

cat >streams.ts <<'TS'
import { Elysia, sse } from "elysia";
import { Hono } from "hono";
import { stream, streamSSE, streamText } from "hono/streaming";

/** What an engine's stream does when the engine dies: a word, and then an exception. */
async function* words() {
  yield "Once";
  await Bun.sleep(50);
  throw new Error("the engine is gone");
}

function body() {
  const source = words();
  return new ReadableStream({
    async pull(controller) {
      const next = await source.next();
      controller.enqueue(new TextEncoder().encode(next.value));
    },
  });
}

const elysia = new Elysia()
  .get("/generator", () => words())
  .get("/sse", async function* () {
    for await (const data of words()) yield sse({ data });
  })
  .get("/readable", () => body())
  .get("/response", () => new Response(body()));

const hono = new Hono()
  .get("/stream", (c) => stream(c, async (out) => {
    for await (const word of words()) await out.write(word);
  }))
  .get("/text", (c) => streamText(c, async (out) => {
    for await (const word of words()) await out.write(word);
  }))
  .get("/sse", (c) => streamSSE(c, async (out) => {
    for await (const data of words()) await out.writeSSE({ data });
  }))
  .get("/response", () => new Response(body()));

async function seen(name: string, fetcher: (request: Request) => Response | Promise<Response>, paths: readonly string[]) {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: fetcher, error: () => new Response("", { status: 500 }) });
  for (const path of paths) {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`);
    const end = await answer.text().then((text) => (text.includes("Once") ? "whole" : "empty"), () => "broken");
    console.log(`${name} ${path}: ${answer.status}, ${end}`);
  }
  server.stop(true);
}
await seen("elysia", elysia.fetch, ["/generator", "/sse", "/readable", "/response"]);
await seen("hono", hono.fetch, ["/stream", "/text", "/sse", "/response"]);
process.exit(0);
TS

echo "bun $(bun --version)"
out=$(timeout 60 bun streams.ts 2>/dev/null)
echo "$out"
expected='elysia /generator: 200, whole
elysia /sse: 200, whole
elysia /readable: 200, whole
elysia /response: 200, broken
hono /stream: 200, whole
hono /text: 200, whole
hono /sse: 200, whole
hono /response: 200, broken'
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: a source that failed ends as a whole answer, unless it is the body of a Response."
