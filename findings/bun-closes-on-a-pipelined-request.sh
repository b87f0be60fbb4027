#!/usr/bin/env bash
# Bun 1.4.5: a request that a client pipelines behind one that is still being answered closes the connection,
# and neither is answered. An empty line after a body, while the answer is under way, does the same with a 400.
#
# Expected: both answers, in order. HTTP/1.1 has a server process pipelined requests (RFC 9112, 9.3.2: those of
# safe methods even in parallel, answers in the order of the requests), and skip an empty line before a request
# line (2.2).
# Seen on Linux x86-64: no byte, and the connection closed, for GET as for POST, in one write or in two; behind
# an answer that has ended the second request is served. Whoever has such clients needs a server in front.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true, "dependencies": {"bun": "1.4.5"}}' >package.json
npm install --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
bun=$(echo "$folder"/node_modules/@oven/bun-*/bin/bun | tr ' ' '\n' | while read -r one; do
  "$one" --version >/dev/null 2>&1 && echo "$one" && break
done)

cat >pipelined.ts <<'TS'
import { connect } from "node:net";

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    await request.text();
    await Bun.sleep(200);
    return new Response("ok");
  },
});

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

/** The statuses of the answers to what is written, one write after the other, and whether it was closed. */
async function seen(writes: readonly string[], pauseMs: number): Promise<string> {
  const socket = connect(server.port ?? 0, "127.0.0.1");
  let answers = "";
  let isClosed = false;
  socket.on("data", (piece) => (answers += piece));
  socket.on("close", () => (isClosed = true));
  socket.on("error", () => {});
  for (const text of writes) {
    socket.write(text);
    await Bun.sleep(pauseMs);
  }
  await Bun.sleep(1_000);
  const statuses = [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  const what = `${statuses.join(" ") || "nothing"}${isClosed ? ", closed" : ""}`;
  socket.destroy();
  return what;
}

const cases = [
  ["one after the other", [GET, GET], 400, "200 200"],
  ["two GETs in one write", [GET + GET], 0, "nothing, closed"],
  ["two GETs, the second while the first runs", [GET, GET], 50, "nothing, closed"],
  ["two POSTs in one write", [POST + POST], 0, "nothing, closed"],
  ["an empty line behind a body", [`${POST}\r\n`], 0, "400, closed"],
] as const;
let isOther = false;
for (const [name, writes, pauseMs, expected] of cases) {
  const what = await seen(writes, pauseMs);
  console.log(`${name}: ${what}`);
  isOther ||= what !== expected;
}
process.exit(isOther ? 1 : 0);
TS

echo "bun $("$bun" --version)"
timeout 60 "$bun" pipelined.ts
