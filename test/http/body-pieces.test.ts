/** The pieces that a body comes in are given back one by one: what reaches the engine is all of them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const engine = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  routes: {
    "/health": new Response(),
    "/v1/models": Response.json({ object: "list", data: [{ id: "tiny", object: "model" }] }),
    "/metrics": new Response("", { status: 404 }),
  },
  fetch: async (request) => new Response(`hash ${Bun.hash(await request.bytes())}.`),
});
let proxy: ProxyProcess;

beforeAll(async () => {
  proxy = await startProxy(["--node", engine.url.origin]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop(true);
});

function bodyOf(bytes: number): Buffer {
  const filling = Buffer.from(Array.from({ length: bytes }, (_, i) => 97 + ((i * 7) % 23)));
  return Buffer.concat([Buffer.from('{"model":"tiny","x":"'), filling, Buffer.from('"}')]);
}

/** What the engine saw of `body`, sent in pieces of `pieceBytes`, each in a turn of its own. */
function hashOf(body: Buffer, pieceBytes: number, isChunked: boolean): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect(proxy.port, "127.0.0.1").setNoDelay(true);
  let answer = "";
  socket.on("data", (bytes) => {
    answer += bytes.toString("latin1");
    const hash = /hash (\d+)\./.exec(answer)?.[1];
    if (hash === undefined) return;
    socket.destroy();
    resolve(hash);
  });
  socket.on("close", () => resolve(answer));
  const framing = isChunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
  socket.write(`POST /generate HTTP/1.1\r\nHost: proxy\r\n${framing}\r\n\r\n`);
  const send = (at: number) => {
    const piece = body.subarray(at, at + pieceBytes);
    if (isChunked) socket.write(`${piece.length.toString(16)}\r\n`);
    if (piece.length > 0) socket.write(piece);
    if (isChunked) socket.write("\r\n");
    if (piece.length > 0) setImmediate(send, at + piece.length);
  };
  send(0);
  return promise;
}

test.each([
  [1_100, false],
  [4_096, false],
  [16_384, false],
  [70_000, false],
  [5_000, true],
  [70_000, true],
])("a body in pieces of %d bytes (chunked: %p) comes as it was sent", async (bytes, isChunked) => {
  const bodies = [100_000, 700_000].map(bodyOf);
  const hashes = bodies.map((body) => hashOf(body, bytes, isChunked));
  expect(await Promise.all(hashes)).toEqual(bodies.map((body) => Bun.hash(body).toString()));
});
