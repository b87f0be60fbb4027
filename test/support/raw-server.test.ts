import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { until } from "../sim/server/running.ts";
import { gzipBomb, RAW_ANSWERS, type RawAnswerName } from "./raw-answers.ts";
import { httpAnswer, type RawServer, type RawStep, startRawServer } from "./raw-server.ts";

const running: RawServer[] = [];

function start(steps: readonly RawStep[]): RawServer {
  const server = startRawServer({ script: () => steps });
  running.push(server);
  return server;
}

afterEach(() => {
  for (const server of running.splice(0)) server.stop();
});

/** Sends bytes and returns what comes until the connection ends, and how it ended. */
function exchange(port: number, bytes: string): Promise<{ text: string; end: "fin" | "reset" }> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    const parts: Buffer[] = [];
    const done = (end: "fin" | "reset") =>
      resolve({ text: Buffer.concat(parts).toString("utf8"), end });
    socket.on("data", (part) => parts.push(Buffer.from(part)));
    socket.on("error", () => done("reset"));
    socket.on("end", () => done("fin"));
  });
}

const GET = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

describe("what a client sees of", () => {
  const outcomes: readonly (readonly [RawAnswerName, "broken" | "answer"])[] = [
    ["garbage", "broken"],
    ["nothing", "broken"],
    ["reset", "broken"],
    ["halfHead", "broken"],
    ["endlessHead", "broken"],
    ["shortBody", "broken"],
    ["badLength", "broken"],
    ["twoLengths", "broken"],
    ["badChunk", "broken"],
    ["cutBetweenEvents", "broken"],
    ["resetBetweenEvents", "broken"],
    ["cutInEvent", "broken"],
    ["untilClose", "answer"],
    ["earlyHints", "answer"],
    ["hopByHop", "answer"],
    ["trickle", "answer"],
  ];

  test.each(outcomes)("%s: %s", async (name, outcome) => {
    const server = start(RAW_ANSWERS[name]);
    const answer = fetch(server.url, { keepalive: false }).then((response) => response.text());
    if (outcome === "broken") await expect(answer).rejects.toThrow();
    else expect(await answer).not.toBe("");
  });

  test("silence: nothing, until it leaves", async () => {
    const server = start(RAW_ANSWERS.silence);
    const gone = new AbortController();
    const answer = fetch(server.url, { signal: gone.signal });
    await until(() => server.requests.length === 1);
    gone.abort();
    await expect(answer).rejects.toThrow();
    await until(() => server.connections().open === 0);
  });

  test("a reset: no clean end", async () => {
    const { port } = start([{ reset: true }]);
    expect((await exchange(port, GET)).end).toBe("reset");
  });

  test("a gzip bomb: few bytes that become many", async () => {
    const server = start(gzipBomb());
    const raw = await fetch(server.url, { decompress: false });
    expect((await raw.bytes()).length).toBeLessThan(100_000);
    expect((await (await fetch(server.url)).bytes()).length).toBe(64 * 1024 * 1024);
  });
});

test("probes are answered as an engine would, unless scripted otherwise", async () => {
  const server = start([]);
  expect(await (await fetch(`${server.url}/health`)).json()).toMatchObject({ status: "healthy" });
  expect(await (await fetch(`${server.url}/v1/models`)).json()).toMatchObject({ object: "list" });
  expect(server.requests).toHaveLength(0);
  const script = () => [];
  const probes = { "/health": [{ send: httpAnswer("{}", [], "503 Service Unavailable") }] };
  const sick = startRawServer({ script, probes });
  running.push(sick);
  expect((await fetch(`${sick.url}/health`)).status).toBe(503);
});

test("requests are kept as they came, pipelined ones too", async () => {
  const server = start([{ send: httpAnswer("1") }, { close: true }]);
  const body = "POST /a?b=1 HTTP/1.1\r\nhOST: a\r\nX: 1\r\nX: 2\r\nContent-Length: 3\r\n\r\nabc";
  await exchange(server.port, body + GET);
  await until(() => server.requests.length === 2);
  const [first, second] = server.requests;
  expect(first?.head).toBe("POST /a?b=1 HTTP/1.1\r\nhOST: a\r\nX: 1\r\nX: 2\r\nContent-Length: 3");
  expect(Buffer.from(first?.body ?? []).toString()).toBe("abc");
  expect(second?.target).toBe("/x");
});

test("a hundred megabytes reach a reader that pauses at first, all of them", async () => {
  const repeat = "z".repeat(100_000);
  const server = start([{ repeat, times: 1_000 }, { close: true }]);
  const socket = connect(server.port, "127.0.0.1", () => socket.write(GET));
  socket.pause();
  await until(() => server.requests.length === 1);
  let length = 0;
  let isClosed = false;
  socket.on("data", (part) => {
    length += part.length;
  });
  socket.on("close", () => {
    isClosed = true;
  });
  socket.resume();
  await until(() => isClosed);
  expect(length).toBe(100_000_000);
});
