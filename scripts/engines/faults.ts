/** What happens to clients when one of two real engines fails under load. */
import type { ProxyProcess } from "../../test/support/proxy.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import type { Engine } from "./engine.ts";
import { startExecutable } from "./executable.ts";
import type { Fault } from "./kinds.ts";
import { type Fate, Load } from "./load.ts";
import type { Row } from "./report.ts";

const BEFORE_MS = 5_000;
const DURING_MS = 15_000;
const AFTER_MS = 4_000;
const BACK_LIMIT_MS = 60_000;
const POLL_MS = 50;
/** Of a hung engine, so many requests may hang before it is out of the way. */
const MAY_HANG = 6;

interface Act {
  readonly what: string;
  strike(engine: Engine): Promise<void> | void;
  heal(engine: Engine): Promise<void> | void;
}

const restart = (engine: Engine) => engine.restart();

const ACTS: Readonly<Record<Fault, Act>> = {
  kill: { what: "all its processes killed", strike: (e) => e.signal("SIGKILL"), heal: restart },
  "kill-core": {
    what: "the process that computes killed",
    strike: (e) => e.signalCore("SIGKILL"),
    heal: restart,
  },
  terminate: { what: "SIGTERM", strike: (e) => e.signalMain("SIGTERM"), heal: restart },
  stop: {
    what: "all its processes stopped, then continued",
    strike: (e) => e.signal("SIGSTOP"),
    heal: (e) => e.signal("SIGCONT"),
  },
  "stop-core": {
    what: "the process that computes stopped, then continued; /health stays 200",
    strike: (e) => e.signalCore("SIGSTOP"),
    heal: (e) => e.signalCore("SIGCONT"),
  },
  sleep: {
    what: "put to sleep, then woken",
    strike: (e) => control(e, `/sleep?level=${e.kind.name === "vllm" ? 0 : 1}`),
    heal: (e) => control(e, e.kind.name === "vllm" ? "/wake_up" : "/wakeup"),
  },
  break: {
    what: "every inference fails as when its process is gone; /health stays 200",
    strike: (e) => e.signalMain("SIGUSR1"),
    heal: (e) => e.signalMain("SIGUSR1"),
  },
  "other-key": {
    what: "started again with a key that nobody has: 401 at once",
    strike: (e) => e.restart({ apiKey: "sk-another" }),
    heal: restart,
  },
};

async function control(engine: Engine, path: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(engine.url + path, { method: "POST", headers, keepalive: false });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
}

export async function tryFaults(
  fault: Fault,
  struck: Engine,
  other: Engine,
  executable: string,
): Promise<Row> {
  const act = ACTS[fault];
  const nodes = ["--node", struck.url, other.url];
  await using proxy = await startExecutable(executable, [...nodes, "--log-level", "error"]);
  await untilHealthy(proxy, 2);
  const load = new Load(proxy, struck.kind.requestEveryMs);
  await Bun.sleep(BEFORE_MS);
  const strikeMs = performance.now();
  const out = untilState(proxy, struck, (state) => state !== "healthy", DURING_MS);
  await act.strike(struck);
  await Bun.sleep(Math.max(0, strikeMs + DURING_MS - performance.now()));
  // Answers under way on an engine that stands still are over when it goes on; to start a new one
  // takes both cores for a while.
  const isRestart = act.heal === restart;
  if (isRestart) await load.stop();
  await act.heal(struck);
  const back = await untilState(proxy, struck, (state) => state === "healthy", BACK_LIMIT_MS);
  const after = isRestart ? new Load(proxy, struck.kind.requestEveryMs) : load;
  await Bun.sleep(AFTER_MS);
  await after.stop();
  const counted = tally(isRestart ? [...load.fates, ...after.fates] : load.fates, strikeMs);
  const outMs = await out;
  const seen = [
    counted.text,
    outMs === null ? "stayed a healthy node" : `out after ${seconds(outMs)}`,
    back === null ? "not back after 60 s" : `back ${seconds(back)} after it was mended`,
  ];
  const isHang = fault === "stop" || fault === "stop-core" || fault === "sleep";
  const isGood = counted.lost === 0 && counted.left <= (isHang ? MAY_HANG : 0) && back !== null;
  return {
    ...{ part: "faults", kind: struck.kind.name, what: act.what, seen: seen.join("; ") },
    verdict: isGood ? "good" : "bad",
  };
}

const seconds = (ms: number) => `${(ms / 1e3).toFixed(1)} s`;

/** How long until the node was seen in such a state, ms; null: not in time. */
async function untilState(
  proxy: ProxyProcess,
  engine: Engine,
  isIt: (state: string) => boolean,
  limitMs: number,
): Promise<number | null> {
  const startMs = performance.now();
  while (performance.now() - startMs < limitMs) {
    const node = (await proxy.status())[engine.url];
    if (node !== undefined && isIt(node.state)) return performance.now() - startMs;
    await Bun.sleep(POLL_MS);
  }
  return null;
}

interface Tally {
  readonly text: string;
  /** Requests that a client should have had answered, and had not, or not honestly. */
  readonly lost: number;
  /** Clients that had waited long enough. */
  readonly left: number;
}

/** A stream that had begun on an engine that dies cannot be saved: to be cut is its honest end. */
function tally(fates: readonly Fate[], strikeMs: number): Tally {
  const open = fates.filter(
    ({ startMs, endMs }) => startMs <= strikeMs && (endMs ?? Number.POSITIVE_INFINITY) > strikeMs,
  );
  const begun = open.filter(({ firstMs }) => firstMs !== null && firstMs <= strikeMs);
  const silent = open.filter((fate) => !begun.includes(fate));
  const later = fates.filter(({ startMs }) => startMs > strikeMs);
  const excused = (fate: Fate) => begun.includes(fate) && fate.end === "cut";
  const bad = [...open, ...later].filter((fate) => fate.end !== "whole" && !excused(fate));
  const examples = [...new Set(bad.map(({ said }) => said))].filter((said) => said !== "");
  const text = [
    `at the fault ${begun.length} begun ${ends(begun)}, ${silent.length} silent ${ends(silent)}`,
    `${later.length} later ${ends(later)}`,
    ...examples.slice(0, 1).map((said) => `such as “${said.slice(0, 120)}”`),
  ].join("; ");
  const left = bad.filter(({ end }) => end === "left").length;
  return { text, lost: bad.length - left, left };
}

function ends(fates: readonly Fate[]): string {
  const counts = new Map<string, number>();
  for (const { end } of fates) counts.set(end ?? "open", (counts.get(end ?? "open") ?? 0) + 1);
  const shown = [...counts].map(([end, count]) => `${count} ${end}`).join(", ");
  return fates.length === 0 ? "" : `(${shown})`;
}
