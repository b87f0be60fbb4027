import { describe, expect, test } from "bun:test";
import type { NodeState } from "../../../src/core/pool/health.ts";
import { isBadAnswer } from "../../../src/core/pool/statuses.ts";
import { HealthScript } from "./health-script.ts";

const STATES: [script: string, state: NodeState][] = [
  ["", "starting"],
  ["ok", "healthy"],
  ["refused refused refused", "starting"],
  ["timeout timeout timeout", "starting"],
  ["bad bad bad", "starting"],
  ["initializing", "starting"],
  ["sleeping", "sleeping"],
  ["500 500 lost", "starting"],
  ["forbidden", "unhealthy"],
  ["refused forbidden ok", "healthy"],

  // Probes: a refusal ejects at once, time-outs and bad answers two in a row.
  ["ok refused", "unhealthy"],
  ["ok timeout", "healthy"],
  ["ok timeout timeout", "unhealthy"],
  ["ok timeout ok timeout", "healthy"],
  ["ok bad", "healthy"],
  ["ok bad bad", "unhealthy"],
  ["ok bad timeout", "unhealthy"],
  ["ok timeout+ timeout+ timeout+", "healthy"],
  ["ok timeout timeout+ timeout", "healthy"],
  ["ok timeout timeout+ timeout timeout", "unhealthy"],
  ["ok sleeping", "sleeping"],
  ["ok sleeping timeout", "sleeping"],
  ["ok sleeping timeout timeout", "unhealthy"],
  ["ok sleeping refused", "unhealthy"],
  ["ok sleeping ok", "healthy"],
  ["ok initializing", "starting"],
  ["ok initializing ok", "healthy"],

  // Ejected by probes: back at the first good answer.
  ["ok refused ok", "healthy"],
  ["ok timeout timeout ok", "healthy"],
  ["ok refused sleeping", "sleeping"],
  ["ok refused initializing", "starting"],
  ["ok refused timeout+", "unhealthy"],

  // Lost by a request: the probe that follows says how it returns.
  ["ok lost", "unhealthy"],
  ["ok lost refused ok", "healthy"],
  ["ok lost timeout ok", "healthy"],
  ["ok lost bad ok", "healthy"],
  ["ok lost ok", "unhealthy"],
  ["ok lost ok ok ok", "unhealthy"],
  ["ok lost ok wait:1000 trial passed", "healthy"],
  ["ok lost timeout+ ok", "unhealthy"],
  ["ok lost timeout+ wait:1000 trial passed", "healthy"],
  ["ok sleeping lost", "sleeping"],

  // Ejected for its answers: two bad ones in a row, and back by a trial.
  ["ok 500", "healthy"],
  ["ok 500 500", "unhealthy"],
  ["ok 500 502", "unhealthy"],
  ["ok 504 500", "unhealthy"],
  ["ok 500 200 500", "healthy"],
  ["ok 500 404 500", "healthy"],
  ["ok 500 503 500", "healthy"],
  ["ok 400 400 404 422 429 429", "healthy"],
  ["ok 503 503 503 501 501 505 505", "healthy"],
  ["ok 500! 500! 500!", "healthy"],
  ["ok 500! 500! 500", "unhealthy"],
  ["ok 500 ok 500", "unhealthy"],
  ["ok 500 500 ok ok", "unhealthy"],
  ["ok 500 500 wait:1000 trial passed", "healthy"],
  ["ok 500 500 wait:1000 trial failed", "unhealthy"],
  ["ok 500 500 wait:1000 trial unclear", "unhealthy"],
  ["ok 500 500 wait:1000 trial passed 500", "healthy"],
  ["ok 500 500 timeout ok", "unhealthy"],
  ["ok 500 500 timeout timeout ok", "healthy"],
  ["ok 500 500 refused ok", "healthy"],
  ["ok 500 500 refused wait:1000 trial passed", "unhealthy"],

  // Registering again: an engine that restarted does not listen yet.
  ["ok register", "healthy"],
  ["ok register ok refused", "unhealthy"],
  ["ok register refused", "starting"],
  ["ok register lost", "starting"],
  ["ok register timeout", "healthy"],
  ["ok register timeout timeout", "unhealthy"],
  ["ok register sleeping refused", "unhealthy"],
  ["ok refused register", "starting"],
  ["ok 500 500 register", "starting"],
  ["ok 500 500 register ok", "healthy"],
  ["ok sleeping register", "starting"],
  ["ok refused register refused refused ok", "healthy"],

  // Draining lasts until it registers again, whatever else happens.
  ["drain", "draining"],
  ["ok drain", "draining"],
  ["ok drain ok", "draining"],
  ["ok drain refused", "draining"],
  ["ok drain refused ok", "draining"],
  ["ok drain lost", "draining"],
  ["ok drain 500 500", "draining"],
  ["ok drain sleeping", "draining"],
  ["ok drain register", "starting"],
  ["ok drain register ok", "healthy"],
];

test.each(STATES)("%p → %s", (script, state) => {
  expect(new HealthScript(script).health.state).toBe(state);
});

describe("who may get new requests", () => {
  test.each<[string, boolean, boolean]>([
    ["", false, false],
    ["ok", true, true],
    ["ok sleeping", false, false],
    ["ok initializing", false, false],
    ["ok drain", false, false],
    ["ok refused drain", false, false],
    ["ok refused", false, true],
    ["ok lost", false, true],
    ["ok 500 500", false, true],
    ["ok busy:1000", false, true],
    ["ok busy:1000 wait:999", false, true],
    ["ok busy:1000 wait:1000", true, true],
    ["ok busy:5000 busy:1000 wait:4999", false, true],
    ["ok busy:1000 ok", false, true],
    ["ok busy:9000 refused ok", true, true],
  ])("%p: routable %p, as a last resort %p", (script, routable, lastResort) => {
    const played = new HealthScript(script);
    expect(played.routable).toBe(routable);
    expect(played.health.lastResort).toBe(lastResort);
  });
});

describe("trials", () => {
  test.each<[string, number | null]>([
    ["ok", null],
    ["ok refused", null],
    ["ok lost", null],
    ["ok lost ok", 1_000],
    ["ok lost timeout+", 1_000],
    ["ok 500 500", 1_000],
    ["ok 500 500 wait:400", 600],
    ["ok 500 500 wait:60000", 0],
    ["ok 500 500 drain", null],
    ["ok 500 500 refused", null],
    ["ok 500 500 wait:1000 trial", null],
    ["ok 500 500 wait:1000 trial unclear", 0],
    ["ok 500 500 wait:1000 busy:3000", 3_000],
    ["ok 500 500 wait:1000 trial failed", 2_000],
    ["ok 500 500 wait:1000 trial failed failed", 2_000],
    ["ok 500 500 wait:1000 trial failed wait:2000 trial failed", 4_000],
    ["ok 500 500 wait:1000 trial passed 500 500", 1_000],
    ["ok 500 500 wait:1000 trial failed wait:2000 trial passed 500 500", 1_000],
    ["ok 500 500 wait:1000 trial failed ok timeout", 2_000],
  ])("%p: the next is due in %p ms", (script, dueInMs) => {
    expect(new HealthScript(script).trialDueInMs).toBe(dueInMs);
  });

  test("each failed one doubles the wait, up to 30 s", () => {
    const played = new HealthScript("ok 500 500");
    const waits: (number | null)[] = [];
    for (let i = 0; i < 8; i += 1) {
      const dueInMs = played.trialDueInMs;
      waits.push(dueInMs);
      played.play(`wait:${dueInMs} trial failed`);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  test("an older one that ends late decides nothing", () => {
    const { health, nowMs } = new HealthScript("ok 500 500 wait:1000");
    const older = {};
    health.trialStarted(older);
    health.trialEnded(older, null, nowMs);
    const newer = {};
    health.trialStarted(newer);
    health.trialEnded(older, true, nowMs);
    expect(health.state).toBe("unhealthy");
    health.trialEnded(newer, true, nowMs);
    expect(health.state).toBe("healthy");
  });
});

describe("when it is probed next", () => {
  const INTERVAL_MS = 7_000;
  test.each<[string, number]>([
    ["", 20],
    ["refused", 40],
    ["refused refused", 80],
    ["refused refused refused refused refused", 640],
    ["refused refused refused refused refused refused", 1_000],
    ["initializing", 40],
    ["ok", INTERVAL_MS],
    ["ok timeout", 1_000],
    ["ok timeout ok", INTERVAL_MS],
    ["ok sleeping", INTERVAL_MS],
    ["ok register", INTERVAL_MS],
    ["ok register refused", 20],
    ["ok refused", 1_000],
    ["ok lost", 1_000],
    ["ok 500 500", 1_000],
    ["ok refused wait:59999 refused", 1_000],
    ["ok refused wait:60000 refused", 5_000],
    ["ok 500 500 wait:60000", 5_000],
    ["ok refused wait:90000 ok refused", 1_000],
  ])("%p: in %p ms", (script, ms) => {
    const { health, nowMs } = new HealthScript(script);
    expect(health.nextProbeMs(nowMs, INTERVAL_MS)).toBe(ms);
  });

  test("an ejected node no less often than one in good health", () => {
    const { health, nowMs } = new HealthScript("ok refused");
    expect(health.nextProbeMs(nowMs, 300)).toBe(300);
  });
});

describe("bringing in", () => {
  test.each<[string, number]>([
    ["", 0],
    ["ok", 0],
    ["ok wait:2500", 0.25],
    ["ok wait:10000", 1],
    ["ok wait:99000", 1],
    ["ok wait:10000 ok", 1],
    ["ok wait:10000 busy:1000 wait:1000", 1],
    ["ok wait:10000 register ok", 1],
    ["ok wait:10000 refused", 0],
    ["ok wait:10000 refused ok wait:5000", 0.5],
    ["ok wait:10000 500 500 wait:1000 trial passed wait:1000", 0.1],
    ["ok wait:10000 sleeping ok", 0],
    ["ok wait:10000 drain register ok", 0],
  ])("%p: warm %p", (script, warm) => {
    const { health, nowMs } = new HealthScript(script);
    expect(health.warm(nowMs)).toBe(warm);
  });
});

test.each([
  [200, false],
  [404, false],
  [429, false],
  [499, false],
  [500, true],
  [501, false],
  [502, true],
  [503, false],
  [504, true],
  [505, false],
  [529, true],
])("status %d speaks against the engine: %p", (status, bad) => {
  expect(isBadAnswer(status)).toBe(bad);
});
