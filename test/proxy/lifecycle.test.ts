/** The way out of a process whose place another has taken, in virtual time. */
import { expect, test } from "bun:test";
import type { Clock } from "../../src/core/clock.ts";
import { Exchanges } from "../../src/core/exchange.ts";
import { SlowBodies } from "../../src/http/slow-bodies.ts";
import { Lifecycle } from "../../src/proxy/lifecycle.ts";
import { Gate } from "../core/admission/gate.ts";

const KEEP_ALIVE_MS = 10_000;
const DRAIN_TIMEOUT_MS = 4_000;
/** Bun looks at idle connections so often, and rounds up. */
const LATEST_IDLE_MS = KEEP_ALIVE_MS + 5_000;
const STEP_MS = 50;

function replaced() {
  const gate = new Gate();
  const { time, registry } = gate.cluster;
  const clock: Clock = {
    now: time.now,
    wallMs: time.now,
    after: time.after,
    every: () => () => {},
    soon: queueMicrotask,
  };
  const exchanges = new Exchanges({ now: time.now, report: () => {} });
  const said: string[] = [];
  const say = (message: string) => void said.push(message);
  const lifecycle = new Lifecycle({
    clock,
    registry,
    admission: gate.admission,
    exchanges,
    slow: new SlowBodies(30_000, clock),
    shutdownDelayMs: 0,
    drainTimeoutMs: DRAIN_TIMEOUT_MS,
    pendingRequests: () => 0,
    distServe: null,
    live: { stop() {} },
    keepAliveMs: KEEP_ALIVE_MS,
    log: { info: say, warning: say },
  });
  lifecycle.retire({ nodesMoved: false });
  const startMs = time.nowMs;
  const begin = () => exchanges.begin("id", new Request("http://proxy/"), "/");
  async function pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += STEP_MS) await gate.pass(STEP_MS);
  }
  /** When it has ended. */
  async function endOf(drained: Promise<number>): Promise<{ cut: number; atMs: number }> {
    let cut: number | null = null;
    void drained.then((count) => {
      cut = count;
    });
    while (cut === null) await pass(STEP_MS);
    return { cut, atMs: time.nowMs - startMs };
  }
  return { lifecycle, begin, endOf, pass };
}

const NEVER = new Promise<never>(() => {});

test("who is connected is answered until idle connections have gone, and what runs is cut a drain's time later", async () => {
  const { lifecycle, begin, endOf, pass } = replaced();
  lifecycle.leftPort(() => 1);
  begin();
  const drained = lifecycle.drain(NEVER);
  await pass(LATEST_IDLE_MS + DRAIN_TIMEOUT_MS - 1_000);
  expect(lifecycle.open).toBe(true);
  const { cut, atMs } = await endOf(drained);
  expect(cut).toBe(1);
  expect(atMs).toBeGreaterThanOrEqual(LATEST_IDLE_MS + DRAIN_TIMEOUT_MS);
  expect(atMs).toBeLessThan(LATEST_IDLE_MS + DRAIN_TIMEOUT_MS + 1_000);
});

test("told to end, what runs has a drain's time from then on", async () => {
  const { lifecycle, begin, endOf, pass } = replaced();
  begin();
  const { promise: told, resolve: tell } = Promise.withResolvers<void>();
  const drained = lifecycle.drain(told);
  await pass(1_000);
  tell();
  const { cut, atMs } = await endOf(drained);
  expect(cut).toBe(1);
  expect(atMs).toBeGreaterThanOrEqual(1_000 + DRAIN_TIMEOUT_MS);
  expect(atMs).toBeLessThan(2_000 + DRAIN_TIMEOUT_MS);
});

test("it ends as soon as nobody is connected and nothing runs", async () => {
  const { lifecycle, begin, endOf } = replaced();
  lifecycle.leftPort(() => 0);
  const exchange = begin();
  const drained = lifecycle.drain(NEVER);
  exchange.end({ how: "refused", error: "invalid_request", reason: undefined });
  const { cut, atMs } = await endOf(drained);
  expect(cut).toBe(0);
  expect(atMs).toBeLessThan(1_000);
});
