/** Bodies that are large, or slow, or in very many pieces: what they cost the proxy and its other clients. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { sendRaw } from "../support/raw-http.ts";
import { untilHealthy } from "../support/until-healthy.ts";
import { writeAll } from "../support/write-all.ts";

setDefaultTimeout(60_000);
const MIB = 1024 * 1024;
const CHUNKED =
  "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
  "Transfer-Encoding: chunked\r\n\r\n";

let engine: RunningEngine;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = await startEngine({ models: ["tiny"] });
  proxy = await startProxy(["--node", engine.url, "--body-timeout", "3"]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop(true);
});

function withLength(path: string, body: Uint8Array): Buffer {
  const head = `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** Sends bytes over a connection of its own; `sent` resolves when the last one has left. */
function upload(bytes: Uint8Array) {
  const { write, sent } = writeAll(bytes);
  const answered = Promise.withResolvers<string>();
  void Bun.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
    socket: {
      open: write,
      drain: write,
      data: (socket, piece) => {
        answered.resolve(piece.toString());
        socket.end();
      },
      close: () => answered.resolve("closed"),
    },
  });
  return { sent, answered: answered.promise };
}

/** The most memory the proxy has had, MiB. These tests come first: it never falls. */
function peakMiB(): number {
  const status = readFileSync(`/proc/${proxy.process.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

describe.skipIf(process.platform !== "linux")("memory stays bounded with", () => {
  test("a megabyte in chunks of one byte", async () => {
    const before = peakMiB();
    const chunks = Buffer.alloc(6 * MIB, "1\r\n \r\n");
    const end = Buffer.from("2\r\n{}\r\n0\r\n\r\n");
    const { answers } = await sendRaw(
      proxy.port,
      Buffer.concat([Buffer.from(CHUNKED), chunks, end]),
    );
    expect(answers.map(({ status }) => status)).toEqual([400]);
    expect(peakMiB() - before).toBeLessThan(100);
  });

  test("a body that goes on long after it was refused", async () => {
    const before = peakMiB();
    const long = Buffer.alloc(400 * MIB, "x");
    const end = "\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    const head = `${CHUNKED}${long.length.toString(16)}\r\n`;
    const bytes = Buffer.concat([Buffer.from(head), long, Buffer.from(end)]);
    const { answers } = await sendRaw(proxy.port, bytes, { count: 2 });
    expect(answers.map(({ status }) => status)).toEqual([413, 200]);
    expect(peakMiB() - before).toBeLessThan(200);
  });

  test("bodies that nobody reads", async () => {
    const before = peakMiB();
    const body = Buffer.alloc(100 * MIB, "x");
    for (const path of ["/nope", "/health", "/v1/sleep"]) {
      const { answers } = await sendRaw(proxy.port, withLength(path, body));
      expect(answers.map(({ status }) => status)).toEqual([path === "/health" ? 405 : 404]);
    }
    expect(peakMiB() - before).toBeLessThan(64);
  });
});

/** What the proxy has to look at byte by byte before it can tell that there is a brace too many at the end. */
const ADVERSARIAL: readonly (readonly [string, string])[] = [
  ["arrays", '{"a":[/[],/[]]}}'],
  ["escaped quotes", '{"a":"/\\"/"}}'],
  ["blanks", "{/ /}}"],
];

test.each(ADVERSARIAL)(
  "others get their turn while 60 MiB of %s are looked at",
  async (_, pattern) => {
    const [start = "", piece = "", end = ""] = pattern.split("/");
    const middle = Buffer.alloc(60 * MIB - ((60 * MIB) % piece.length), piece);
    const body = Buffer.concat([Buffer.from(start), middle, Buffer.from(end)]);
    const { sent, answered } = upload(withLength("/v1/completions", body));
    let answer = "";
    void answered.then((text) => {
      answer = text;
    });
    await sent;
    let others = 0;
    while (answer === "") {
      const { status } = await fetch(`${proxy.url}/v1/models`);
      if (status === 200) others += 1;
    }
    expect(answer).toStartWith("HTTP/1.1 400 ");
    expect(others).toBeGreaterThan(20);
  },
);

test("a body that comes slowly but steadily is waited for, however long it takes", async () => {
  const body = '{"model":"tiny","max_tokens":1,"prompt":"x"}';
  const pieces = body.match(/.{1,4}/g) ?? [];
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
    socket: { data: (_socket, piece) => resolve(piece.toString()), close: () => resolve("closed") },
  });
  socket.write(CHUNKED);
  for (const piece of pieces) {
    // In all longer than the limit of 3 s, each far shorter: that is what is tried here.
    await Bun.sleep(300);
    socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
  }
  socket.write("0\r\n\r\n");
  expect(await promise).toStartWith("HTTP/1.1 200 OK");
  socket.terminate();
});
