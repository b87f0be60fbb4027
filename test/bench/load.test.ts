import { afterAll, expect, test } from "bun:test";
import { startEngine } from "../../bench/engine.ts";
import { runLoad } from "../../bench/generator.ts";
import { Histogram } from "../../bench/histogram.ts";
import type { Load } from "../../bench/load.ts";
import type { Ask } from "../../bench/wire.ts";

const json: Ask = { stream: false, chunks: 0, everyMs: 0, bodyBytes: 1_024 };
const paced: Ask = { stream: true, chunks: 20, everyMs: 2, bodyBytes: 1_024 };
const fast: Ask = { stream: true, chunks: 200, everyMs: 0, bodyBytes: 1_024 };

const closers: (() => void)[] = [];
afterAll(() => {
  for (const close of closers) close();
});

function enginePort(cutEvery?: number): number {
  const options = cutEvery === undefined ? {} : { cutEvery };
  const engine = startEngine({ nodes: 1, others: 0, ...options });
  closers.push(engine.stop);
  return engine.ports[0] ?? 0;
}

/** A server that answers every request with these bytes, and closes if told to. */
function answering(bytes: string, closes: boolean): number {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        socket.write(bytes);
        if (closes) socket.end();
      },
    },
  });
  closers.push(() => listener.stop(true));
  return listener.port;
}

function load(port: number, ask: Ask, change: Partial<Load> = {}): Load {
  return {
    port,
    connections: 8,
    portions: [{ share: 1, ask }],
    ratePerS: null,
    warmMs: 20,
    measureMs: 200,
    exactBytes: true,
    contestantPid: 0,
    enginePid: 0,
    cores: [],
    stallMs: 5_000,
    rampPerMs: 8,
    ...change,
  };
}

test.each([
  ["JSON answers", json],
  ["paced streams", paced],
  ["streams as fast as they come", fast],
  ["large bodies", { ...json, bodyBytes: 300_000 }],
])("%s of a sound engine all count", async (_, ask) => {
  const measured = await runLoad(load(enginePort(), ask));
  expect(measured.reasons).toEqual({});
  expect(measured.requests).toBeGreaterThan(0);
  expect(new Histogram().merge(measured.firstByte).count).toBeGreaterThan(0);
  if (ask.stream) {
    expect(measured.chunks).toBeGreaterThanOrEqual(ask.chunks);
    expect(new Histogram().merge(measured.chunk).count).toBeGreaterThan(0);
  }
});

test("an engine that cuts bodies shows as failed requests", async () => {
  const measured = await runLoad(load(enginePort(5), json));
  expect(measured.reasons).toEqual({ "answer cut off": measured.failed });
  expect(measured.failed).toBeGreaterThan(0);
  expect(measured.requests).toBeGreaterThan(0);
});

const SSE = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const event = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const stamp = `data: "@${"0".repeat(16)}"\n\n`;

test.each([
  ["status 503", json, "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", false],
  ["answer of the wrong size", json, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhm", false],
  ["answer cut off", json, "HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\nhm", true],
  ["closed without an answer", json, "", true],
  ["malformed answer", json, `${SSE}nonsense\r\n`, false],
  ["chunks missing or too many", { ...paced, chunks: 2 }, `${SSE}${event(stamp)}0\r\n\r\n`, false],
  ["stream ended without [DONE]", { ...paced, chunks: 1 }, `${SSE}${event(stamp)}0\r\n\r\n`, false],
  ["answer cut off", { ...paced, chunks: 1 }, `${SSE}${event(stamp)}`, true],
])("%s is a failure", async (reason, ask, bytes, closes) => {
  const measured = await runLoad(load(answering(bytes, closes), ask, { connections: 1 }));
  expect(measured.reasons).toEqual({ [reason]: measured.failed });
  expect(measured.failed).toBeGreaterThan(0);
  expect(measured.requests).toBe(0);
});

test("a connection that is refused is a failure", async () => {
  const port = enginePort();
  closers.pop()?.();
  const measured = await runLoad(load(port, json));
  expect(measured.reasons).toEqual({ "connection refused": measured.failed });
});

test("an answer that never comes is a failure", async () => {
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  closers.push(() => silent.stop(true));
  const measured = await runLoad(load(silent.port, json, { measureMs: 700, stallMs: 50 }));
  expect(measured.failed).toBeGreaterThan(0);
  expect(Object.keys(measured.reasons)).toContain("no byte for too long");
});

test("clients that leave are counted apart, and are no failures", async () => {
  const portions = [{ share: 1, ask: paced, leaving: 0.5 }];
  const measured = await runLoad(load(enginePort(), paced, { portions, measureMs: 400 }));
  expect(measured.failed).toBe(0);
  expect(measured.left).toBeGreaterThan(0);
  expect(measured.requests).toBeGreaterThan(0);
});

test("requests that a fixed rate could not send are told", async () => {
  const slow: Ask = { stream: true, chunks: 50, everyMs: 5, bodyBytes: 200 };
  const change = { connections: 1, ratePerS: 100, measureMs: 400 };
  const measured = await runLoad(load(enginePort(), slow, change));
  expect(measured.unsent).toBeGreaterThan(0);
});

test("waiting for a free connection counts as latency at a fixed rate", async () => {
  const slow: Ask = { stream: true, chunks: 10, everyMs: 5, bodyBytes: 200 };
  const change = { connections: 2, ratePerS: 200, measureMs: 500 };
  const median = async (more: Partial<Load>) => {
    const measured = await runLoad(load(enginePort(), slow, { ...change, ...more }));
    return new Histogram().merge(measured.whole).quantile(0.5);
  };
  // The machine may be busier in one of these moments than in another.
  const before = await median({ ratePerS: null });
  const waiting = await median({});
  const after = await median({ ratePerS: null });
  // Four times as many requests as fit: later ones have waited for several before them.
  expect(waiting).toBeGreaterThan(2 * Math.min(before, after));
});
