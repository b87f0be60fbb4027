import { expect, test } from "bun:test";
import fc from "fast-check";
import { runs } from "../fuzz.ts";
import { HealthScript } from "./health-script.ts";

/** Everything that can happen, trials apart: those follow the rules by which the registry makes them. */
const EVENTS = [
  "ok",
  "sleeping",
  "initializing",
  "refused",
  "timeout",
  "timeout+",
  "bad",
  "lost",
  "200",
  "404",
  "500",
  "500!",
  "503",
  "busy:3000",
  "drain",
  "register",
  "wait:1",
  "wait:700",
  "wait:5000",
  "wait:40000",
] as const;

const anyWalk = fc.array(
  fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...EVENTS) }, fc.constant("trial" as const)),
  { maxLength: 40 },
);
const trialEnd = fc.constantFrom("passed", "failed", "unclear");

/** A walk in which trials are started only when due, and end some steps later. */
class Walk {
  readonly script = new HealthScript();
  #open = false;
  readonly #ends: Iterator<string>;

  constructor(ends: Iterator<string>) {
    this.#ends = ends;
  }

  step(event: string): void {
    const { health, nowMs } = this.script;
    if (event !== "trial") {
      this.script.play(event);
    } else if (this.#open) {
      this.script.play(this.#ends.next().value ?? "unclear");
      this.#open = false;
    } else if (health.trialDue(nowMs)) {
      this.script.play("trial");
      this.#open = true;
      expect(health.trialDue(nowMs), "a second trial beside an open one").toBe(false);
    }
  }
}

/** What holds after every step. */
function check({ health, nowMs, routable }: HealthScript): void {
  const { state } = health;
  if (state !== "healthy") expect(routable, state).toBe(false);
  if (routable) expect(health.lastResort).toBe(true);
  if (state === "starting" || state === "sleeping" || state === "draining") {
    expect(health.lastResort, state).toBe(false);
  }
  if (health.trialDue(nowMs)) {
    expect(state).toBe("unhealthy");
    expect(health.outForConduct).toBe(true);
  }
  if (health.down) expect(health.alive).toBe(false);
  expect(health.warm(nowMs)).toBeWithin(0, 1 + Number.EPSILON);
  expect(health.nextProbeMs(nowMs, 5_000)).toBeWithin(20, 5_001);
}

test("whatever happens, in whatever order, its states stay true to their meaning", () => {
  fc.assert(
    fc.property(anyWalk, fc.infiniteStream(trialEnd), (events, ends) => {
      const walk = new Walk(ends);
      for (const event of events) {
        walk.step(event);
        check(walk.script);
      }
    }),
    runs(2_000),
  );
});

test("whatever happened, it comes back once probes and trials pass, unless it was drained", () => {
  fc.assert(
    fc.property(anyWalk, fc.infiniteStream(trialEnd), (events, ends) => {
      const walk = new Walk(ends);
      for (const event of events) walk.step(event);
      const { script } = walk;
      const drained = script.health.state === "draining";
      // Long enough for the longest wait of a trial, a pass-over and a trial that was open.
      for (let i = 0; i < 8 && !script.routable; i += 1) {
        script.play("ok unclear wait:10000");
        if (script.health.trialDue(script.nowMs)) script.play("trial passed");
      }
      expect(script.routable).toBe(!drained);
      script.play("register ok");
      expect(script.health.state).toBe("healthy");
    }),
    runs(1_000),
  );
});

test("whatever happened, two failed probes in a row take it out, and one refusal", () => {
  fc.assert(
    fc.property(
      anyWalk,
      fc.infiniteStream(trialEnd),
      fc.constantFrom("timeout timeout", "bad bad", "bad timeout", "refused"),
      (events, ends, failures) => {
        const walk = new Walk(ends);
        for (const event of events) walk.step(event);
        walk.script.play(failures);
        expect(walk.script.routable).toBe(false);
        expect(walk.script.health.down).toBe(true);
      },
    ),
    runs(1_000),
  );
});
