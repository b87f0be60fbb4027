/**
 * Clients that look for an answer only when all of their body has left, as those of Go and Node do: the connection
 * must not be closed on them, or all they know is a broken pipe, after which they send it again.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { type GateEngine, startGateEngine } from "../support/gate-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const MIB = 1024 * 1024;
/** More than sockets hold. */
const PIECES = 32;

let engine: GateEngine;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = startGateEngine();
  const limits = ["--max-body", "16MiB", "--max-body-memory", "16MiB"];
  proxy = await startProxy(["--node", engine.url, ...limits]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop();
});

/** Sends `pieces` MiB as fast as they are taken, then asks for `/health`; what came when both are answered. */
function upload(headers: readonly string[], pieces = PIECES): Promise<string> {
  const isChunked = headers.includes("transfer-encoding: chunked");
  const piece = Buffer.alloc(MIB, "x");
  const framed = isChunked ? Buffer.concat([Buffer.from("100000\r\n"), piece, CRLF]) : piece;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(proxy.port, "127.0.0.1");
  let got = "";
  socket.on("error", reject);
  socket.on("close", () => reject(new Error(`closed after ${got}`)));
  socket.on("data", (data) => {
    got += data.toString("latin1");
    if (!/HTTP\/1\.1 .*HTTP\/1\.1 200 OK/s.test(got)) return;
    resolve(got);
    socket.destroy();
  });
  const head = ["POST /v1/completions HTTP/1.1", "host: a", ...headers];
  let left = pieces;
  const write = () => {
    while (left > 0) {
      left -= 1;
      if (!socket.write(framed)) return;
    }
    socket.off("drain", write);
    if (isChunked) socket.write("0\r\n\r\n");
    socket.write("GET /health HTTP/1.1\r\nhost: a\r\n\r\n");
  };
  socket.on("drain", write);
  socket.write(`${head.join("\r\n")}\r\n\r\n`, write);
  return promise;
}

const CRLF = Buffer.from("\r\n");
const CHUNKED = "transfer-encoding: chunked";
const LENGTH = `content-length: ${PIECES * MIB}`;

test.each([
  ["is too large", [LENGTH], "413"],
  ["is compressed", [LENGTH, "content-encoding: gzip"], "415"],
  ["in chunks becomes too large", [CHUNKED], "413"],
  ["in chunks is compressed", [CHUNKED, "content-encoding: gzip"], "415"],
])("one that %s", async (_, headers, status) => {
  expect(await upload(headers)).toStartWith(`HTTP/1.1 ${status} `);
});

test.each([
  ["all at once", [`content-length: ${15 * MIB}`]],
  ["in chunks", [CHUNKED]],
])("one that finds no memory, %s", async (_, headers) => {
  const holder = fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "tiny", prompt: "x".repeat(12 * MIB) }),
  });
  await until("the memory is taken", () => engine.waiting === 1);
  const got = await upload(headers, 15);
  expect(got).toStartWith("HTTP/1.1 503 ");
  expect(got).toMatch(/retry-after: 1\r\n/i);
  engine.release(1);
  expect((await holder).status).toBe(200);
});
