import { answersShortRequest, startContestant } from "./cell.ts";
import type { Contestant } from "./contestants.ts";
import { Histogram } from "./histogram.ts";
import type { Laboratory } from "./laboratory.ts";
import type { Load, Measured } from "./load.ts";
import type { MaxRate } from "./raw.ts";
import { loadOf, WORKS } from "./works.ts";

const LIMIT_MS = 10;
const PROBES = 6;
const WARM_MS = 1_000;
const PROBE = { warmMs: 300, measureMs: 1_200 };
/** A probe whose requests came this much slower than asked for did not hold the rate. */
const HELD_SHARE = 0.97;

/**
 * The highest rate of work A at which 99 % of the requests are answered within 10 ms of when they
 * were due, by bisection between nothing and what a closed loop gets through.
 */
export async function findMaxRate(
  laboratory: Laboratory,
  contestant: Contestant,
  core: number | null,
): Promise<Omit<MaxRate, "round">> {
  const found = { contestant: contestant.name, limitMs: LIMIT_MS };
  try {
    const running = await startContestant(contestant, laboratory.nodeUrls(1, 0), core);
    try {
      const target = { port: running.port, contestantPid: running.pid };
      const ratePerS = await bisect(laboratory, { ...target, exactBytes: contestant.exactBytes });
      const isAlive = await answersShortRequest(running.port);
      return { ...found, ratePerS, problem: isAlive ? null : "stopped answering" };
    } finally {
      await running.stop();
    }
  } catch (error) {
    return { ...found, ratePerS: null, problem: String(error) };
  }
}

/** The same of the engine itself: what generator and engine can show at most. */
export async function findCeilingRate(laboratory: Laboratory): Promise<number | null> {
  return bisect(laboratory, { port: laboratory.enginePort, contestantPid: 0, exactBytes: true });
}

type Target = Pick<Load, "port" | "contestantPid" | "exactBytes">;

async function bisect(laboratory: Laboratory, target: Target): Promise<number | null> {
  const work = WORKS.find((each) => each.name === "A");
  if (!work) throw new Error("no work A");
  const cell = { ...target, enginePid: laboratory.enginePid, cores: laboratory.cores };
  const saturated = await laboratory.run(
    loadOf(work, { warmMs: WARM_MS, measureMs: PROBE.measureMs }, cell),
  );
  let low = 0;
  let high = saturated.requests / saturated.seconds;
  let rate = high * 0.9;
  for (let probe = 0; probe < PROBES && rate >= 1; probe++) {
    const load = loadOf({ ...work, ratePerS: rate }, PROBE, cell);
    // One hiccup of the machine must not decide: a rate fails when it fails twice.
    const isHeld =
      holds(await laboratory.run(load), rate) || holds(await laboratory.run(load), rate);
    if (isHeld) low = rate;
    else high = rate;
    rate = (low + high) / 2;
  }
  return low > 0 ? Math.round(low) : null;
}

function holds(measured: Measured, ratePerS: number): boolean {
  const p99Ms = new Histogram().merge(measured.whole).quantile(0.99) / 1e3;
  const isInTime = measured.requests / measured.seconds >= HELD_SHARE * ratePerS;
  return p99Ms < LIMIT_MS && isInTime && measured.failed === 0;
}
