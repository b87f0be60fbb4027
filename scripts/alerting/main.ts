/** All faults at once, each on a proxy of its own, under one Prometheus. See `scripts/alerts`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { startPrometheus } from "../../test/support/prometheus.ts";
import { alertsOf, SCALE, scaled } from "./rules.ts";
import { scenarios } from "./scenarios.ts";
import { type Scenario, type Stage, setUp } from "./stage.ts";

const RULES = join(import.meta.dir, "../../deploy/prometheus/lmproxy-rules.yaml");
/** Nothing is wrong for so long, s: longer than any alert waits. */
const CALM_S = 20;
/** A fault has so long to be seen, s: the longest range and the longest wait, and some more. */
const WITHIN_S = 80;

const Alerts = Type.Object({
  data: Type.Object({
    alerts: Type.Array(
      Type.Object({ state: Type.String(), labels: Type.Record(Type.String(), Type.String()) }),
    ),
  }),
});

/**
 * May fire anywhere: in times so short the 99th percentile of a loop's delays is the longest of fifty, and
 * on a machine with so much to do one of fifty is long. In earnest thirty of three thousand have to be.
 */
const ANYWHERE: readonly string[] = ["LmproxyLoopLag"];

/** Alerts that have fired, by scenario, each with when it did, s. */
type Fired = Map<string, Map<string, number>>;

async function note(url: string, startedMs: number, fired: Fired): Promise<void> {
  const answer = await fetch(`${url}/api/v1/alerts`).catch(() => null);
  if (answer === null || !answer.ok) return;
  const read: unknown = await answer.json();
  Value.Assert(Alerts, read);
  for (const { state, labels } of read.data.alerts) {
    const { alertname = "", instance = "" } = labels;
    if (state !== "firing") continue;
    const ofScenario = fired.get(instance) ?? new Map<string, number>();
    if (!ofScenario.has(alertname)) {
      ofScenario.set(alertname, Math.round((performance.now() - startedMs) / 1_000));
    }
    fired.set(instance, ofScenario);
  }
}

async function watch(url: string, forS: number): Promise<Fired> {
  const startedMs = performance.now();
  const fired: Fired = new Map();
  for (let lookedMs = startedMs; lookedMs - startedMs < forS * 1_000; ) {
    await note(url, startedMs, fired);
    await Bun.sleep(LOOK_MS);
    const nowMs = performance.now();
    stoodStillMs = Math.max(stoodStillMs, nowMs - lookedMs - LOOK_MS);
    lookedMs = nowMs;
  }
  return fired;
}

const LOOK_MS = 300;
/** For so long this process, and with it all engines, did nothing: then they look dead, rightly. */
let stoodStillMs = 0;

/** What is wrong with a scenario; nothing when all is as it should be. */
function faultsOf(calm: Fired, fired: Fired, scenario: Scenario): string[] {
  const { name, fires, may = [], isPlanted = false } = scenario;
  const of = (all: Fired) => [...(all.get(name)?.keys() ?? [])];
  const allowed = [...fires, ...may, ...ANYWHERE];
  const early = isPlanted ? [] : of(calm).filter((alert) => !ANYWHERE.includes(alert));
  const missing = fires.filter((alert) => !of(fired).includes(alert));
  const more = of(fired).filter((alert) => !allowed.includes(alert));
  return [
    ...early.map((alert) => `${alert} fired before there was a fault`),
    ...missing.map((alert) => `${alert} did not fire`),
    ...more.map((alert) => `${alert} fired`),
  ];
}

async function certificateIn(folder: string) {
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  const ask = ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
  const files = ["-keyout", key, "-out", certificate, "-days", "5", "-subj", "/CN=localhost"];
  const child = Bun.spawn(["openssl", ...ask, ...files], { stdout: "ignore", stderr: "ignore" });
  if ((await child.exited) !== 0) throw new Error("openssl made no certificate");
  return { key, certificate };
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: "string" } } });
  if (Bun.which("prometheus") === null) {
    console.error("Prometheus is not here; install Debian's package prometheus.");
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-alerts-"));
  const stages: Stage[] = [];
  const ends: (() => unknown)[] = [() => rmSync(folder, { recursive: true })];
  try {
    const rules = await Bun.file(RULES).text();
    const rulesFile = join(folder, "rules.yaml");
    await Bun.write(rulesFile, scaled(rules));
    const all = scenarios(folder, await certificateIn(folder));
    const chosen = all.filter(({ name }) => name.includes(values.only ?? ""));
    for (const scenario of chosen) stages.push(await setUp(scenario));
    const watched = stages.map(({ target, scenario }) => ({ target, instance: scenario.name }));
    const options = { folder, watched, interval: "500ms", rules: rulesFile };
    const prometheus = await startPrometheus(options);
    ends.unshift(prometheus.stop);
    console.error(`${stages.length} proxies; nothing is wrong for ${CALM_S} s`);
    const calm = await watch(prometheus.url, CALM_S);
    console.error(
      `faults are planted; they have ${WITHIN_S} s, ${SCALE} times less than in earnest`,
    );
    await Promise.all(stages.map((stage) => stage.scenario.plant?.(stage)));
    const fired = await watch(prometheus.url, WITHIN_S);
    return report(chosen, calm, fired, values.only === undefined ? alertsOf(rules) : []);
  } finally {
    for (const { ends: own } of stages) for (const end of own) await end();
    for (const end of ends) await end();
  }
}

function report(chosen: readonly Scenario[], calm: Fired, fired: Fired, all: string[]): number {
  let isGood = true;
  for (const scenario of chosen) {
    const seen = [...(fired.get(scenario.name) ?? [])].map(([alert, s]) => `${alert} (${s} s)`);
    const faults = faultsOf(calm, fired, scenario);
    isGood &&= faults.length === 0;
    const verdict = faults.length === 0 ? "good" : faults.join("; ");
    console.log(`${scenario.name.padEnd(42)} ${verdict.padEnd(5)} ${seen.join(", ") || "none"}`);
  }
  if (stoodStillMs > 1_000) {
    console.log(
      `this machine has too much to do: all stood still for ${Math.round(stoodStillMs)} ms`,
    );
  }
  const never = all.filter((alert) => !chosen.some(({ fires }) => fires.includes(alert)));
  if (never.length > 0) console.log(`no fault is planted for: ${never.join(", ")}`);
  return isGood && never.length === 0 ? 0 : 1;
}

process.exit(await main());
