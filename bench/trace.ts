/**
 * A slice of a trace in real time, through real processes: `bun bench/trace.ts --trace FILE`. Simulated
 * engines and the trace are made faster by the same factor; lmproxy and vllm-router (from PyPI) take turns,
 * with new engines each. Beside them the same slice in the laboratory. Times are those of the trace.
 */
import { parseArgs } from "node:util";
import { traceNamed } from "../src/commands/lab-inputs.ts";
import { clusterOf } from "../src/lab/clusters.ts";
import { contestantOf } from "../src/lab/contestants.ts";
import { ENGINES } from "../src/lab/engines.ts";
import { percentile, type Row } from "../src/lab/measures.ts";
import { PromptBodies } from "../src/lab/prompt-body.ts";
import { replay } from "../src/lab/replay.ts";
import type { Trace } from "../src/lab/trace/trace.ts";
import { prepare } from "../src/lab/workload.ts";
import { hash } from "../src/proxy/routing.ts";
import { seededRandom } from "../src/sim/model/seeded-random.ts";
import { type Contestant, lmproxyContestant } from "./contestants.ts";
import { readBusyUs } from "./core-time.ts";
import {
  freePort,
  killAllAtExit,
  killTree,
  removeScratch,
  scratchDirectory,
  spawnPinned,
} from "./host.ts";
import { machineFacts } from "./machine.ts";
import { cpuBetweenUs, readCpu } from "./process-tree.ts";
import { vllmRouter } from "./routers.ts";

const { values } = parseArgs({
  options: {
    trace: { type: "string", default: "mooncake_conversation.jsonl" },
    cluster: { type: "string", default: "equal" },
    model: { type: "string", default: "llama3-70b-8xa100" },
    nodes: { type: "string", default: "8" },
    /** Where the slice begins and how long it is, s of the trace. */
    from: { type: "string", default: "0" },
    seconds: { type: "string", default: "300" },
    /** How many times as fast as recorded. */
    faster: { type: "string", default: "5" },
    lmproxy: { type: "string" },
  },
});
const SEED = 1;
/** Above this the machine's own queues are measured, not the engines'. */
const MOST_BUSY = 0.6;
/** Of Bun's fetch at once, where nothing else is set. */
const MOST_OPEN = Number(process.env.BUN_CONFIG_MAX_HTTP_REQUESTS ?? 256);
const FIRST_WORD = /"content": ?"[^"]/;

/** A contestant, and what the laboratory calls its strategy. */
interface Entry {
  readonly contestant: Contestant;
  readonly inLab: string;
}

interface Sent {
  readonly dueMs: number;
  readonly body: Buffer;
}

interface Outcome {
  readonly name: string;
  readonly lab: Row;
  /** Sorted, s of the trace. */
  readonly ttftS: Float64Array;
  readonly failed: number;
  readonly hitRate: number;
  readonly cpuUs: number;
  readonly busy: number;
  readonly mostOpen: number;
}

const faster = Number(values.faster);
const model = { name: values.model, params: ENGINES[values.model] };
const cluster = clusterOf(values.cluster, Number(values.nodes));

async function slice(): Promise<Trace> {
  const whole = await traceNamed(values.trace, () => {});
  const fromMs = Number(values.from) * 1_000;
  const toMs = fromMs + Number(values.seconds) * 1_000;
  const requests = whole.requests
    .filter(({ atMs }) => atMs >= fromMs && atMs < toMs)
    .map((request) => ({ ...request, atMs: request.atMs - fromMs, after: -1 }));
  return { ...whole, requests };
}

/** The laboratory's bodies, with the answer's length, which there the engine knows. */
function requestsOf(trace: Trace): Sent[] {
  const bodies = new PromptBodies(trace);
  const random = seededRandom(SEED);
  return trace.requests
    .map((request) => {
      const open = bodies.of(request).subarray(0, -1);
      const rest = `,"max_tokens":${request.outputTokens},"ignore_eos":true}`;
      return {
        dueMs: (request.atMs + random() * trace.stepMs) / faster,
        body: Buffer.concat([open, Buffer.from(rest)]),
      };
    })
    .sort((a, b) => a.dueMs - b.dueMs);
}

/** @returns How long the first word took, ms; null unless the whole answer came. */
async function ask(url: string, body: Uint8Array, sinceMs: number): Promise<number | null> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  if (!answer.ok || answer.body === null) return null;
  const decoder = new TextDecoder();
  let firstMs: number | null = null;
  let text = "";
  for await (const bytes of answer.body) {
    text = text.slice(-200) + decoder.decode(bytes, { stream: true });
    if (firstMs === null && FIRST_WORD.test(text)) firstMs = performance.now() - sinceMs;
  }
  return text.includes("data: [DONE]") ? firstMs : null;
}

async function untilReady(url: string, timeoutMs: number): Promise<void> {
  const hello = '{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}';
  for (const startMs = performance.now(); performance.now() - startMs < timeoutMs; ) {
    const tookMs = await ask(url, Buffer.from(hello), performance.now()).catch(() => null);
    if (tookMs !== null) return;
    await Bun.sleep(100);
  }
  throw new Error(`${url} gives no answer`);
}

/** Sums a counter over the engines. */
async function counted(urls: readonly string[], name: string): Promise<number> {
  const texts = await Promise.all(urls.map(async (url) => (await fetch(`${url}/metrics`)).text()));
  const line = new RegExp(`^lmdeploy:${name}\\{[^}]*\\} (\\S+)$`, "m");
  return texts.reduce((sum, text) => sum + Number(line.exec(text)?.[1] ?? Number.NaN), 0);
}

async function startEngines(speeds: readonly number[]) {
  const script = `${import.meta.dir}/trace-engines.ts`;
  const child = spawnPinned(
    [process.execPath, script, model.name, String(1 / faster), speeds.join(",")],
    { core: null, stdout: "pipe" },
  );
  if (!(child.stdout instanceof ReadableStream)) throw new Error("the engines have no stdout");
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of child.stdout) {
    text += decoder.decode(bytes);
    if (text.includes("\n")) break;
  }
  // Written by our own process.
  const urls: string[] = JSON.parse(text);
  return { child, urls };
}

async function run({ contestant }: Entry, sent: readonly Sent[], speeds: readonly number[]) {
  const engines = await startEngines(speeds);
  const directory = scratchDirectory("trace");
  const port = freePort();
  const { command, env } = await contestant.prepare({ port, nodes: engines.urls, directory });
  const child = spawnPinned(command, { core: null, ...(env ? { env } : {}) });
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilReady(url, contestant.startTimeoutMs);
    const [cpu, busyUs, startMs] = [readCpu(child.pid), readBusyUs([]), performance.now()];
    let open = 0;
    let mostOpen = 0;
    const answers = sent.map(async ({ dueMs, body }) => {
      await Bun.sleep(Math.max(0, startMs + dueMs - performance.now()));
      open += 1;
      mostOpen = Math.max(mostOpen, open);
      const tookMs = await ask(url, body, startMs + dueMs).catch(() => null);
      open -= 1;
      return tookMs;
    });
    const took = await Promise.all(answers);
    const coreUs = (performance.now() - startMs) * 1_000 * machineFacts().cores;
    const cpuUs = cpuBetweenUs(cpu, readCpu(child.pid)) / sent.length;
    const busy = (readBusyUs([]) - busyUs) / coreUs;
    // Gauges are taken anew every 10 s of the engines' time.
    await Bun.sleep(10_500 / faster);
    const cached = await counted(engines.urls, "cached_tokens_total");
    const computed = await counted(engines.urls, "prompt_tokens_total");
    const whole = took.filter((ms) => ms !== null);
    const ttftS = Float64Array.from(whole, (ms) => (ms * faster) / 1_000).sort();
    const hitRate = cached / (cached + computed);
    return { ttftS, failed: sent.length - whole.length, hitRate, cpuUs, busy, mostOpen };
  } finally {
    await killTree(child);
    await killTree(engines.child);
    removeScratch(directory);
  }
}

function inLaboratory(name: string, trace: Trace): Row {
  const make = contestantOf(name);
  const { params } = model;
  if (make === null || params === undefined || cluster === null) throw new Error(`no ${name}`);
  return replay({
    workload: prepare(trace, params.blockSizeTokens, hash),
    cluster,
    model: { name: model.name, params },
    contestant: { name, make },
    seed: SEED,
    rate: 1,
    closedLoop: false,
    stopwatch: () => performance.now(),
  }).row;
}

function tableOf(outcomes: readonly Outcome[]): string {
  const rivals = outcomes.filter(({ name }) => name.startsWith("vllm-router"));
  const best = (of: readonly Outcome[], fraction: number) =>
    Math.min(...of.map(({ ttftS }) => percentile(ttftS, fraction)));
  const [bestP50, bestP99] = [best(rivals, 0.5), best(rivals, 0.99)];
  const head = [
    ...["", "requests", "failed", "TTFT p50 s", "p99 s", "p50 ×", "p99 ×", "hits"],
    ...["CPU a request, ms", "laboratory p50 s", "p99 s", "hits", "machine busy"],
  ];
  const lines = outcomes.map(({ name, lab, ttftS, failed, hitRate, cpuUs, busy }) => {
    const [p50, p99] = [percentile(ttftS, 0.5), percentile(ttftS, 0.99)];
    const times = [p50, p99, p50 / bestP50, p99 / bestP99, hitRate, cpuUs / 1_000];
    const cells = [...times, lab.ttft_p50_s, lab.ttft_p99_s, lab.hit_rate, busy];
    return [name, ttftS.length + failed, failed, ...cells.map((value) => value.toFixed(2))];
  });
  return [head, head.map(() => "---"), ...lines]
    .map((line) => `| ${line.join(" | ")} |`)
    .join("\n");
}

function notesOn(outcomes: readonly Outcome[]): string[] {
  const order = (p99: (one: Outcome) => number) =>
    outcomes.toSorted((a, b) => p99(a) - p99(b)).map(({ name }) => name);
  const real = order(({ ttftS }) => percentile(ttftS, 0.99));
  const lab = order((one) => one.lab.ttft_p99_s);
  return [
    "× is over the best of vllm-router's policies.",
    `By p99, best first: ${real.join(", ")}; in the laboratory: ${lab.join(", ")}.`,
    ...outcomes
      .filter(({ busy }) => busy > MOST_BUSY)
      .map(({ name }) => `${name}: the machine was too busy for honest figures; lower --faster.`),
    ...outcomes
      .filter(({ mostOpen }) => mostOpen >= MOST_OPEN)
      .map(({ name }) => `${name}: requests waited for the client; BUN_CONFIG_MAX_HTTP_REQUESTS.`),
  ];
}

killAllAtExit();
if (model.params === undefined || cluster === null) {
  throw new Error(
    `--model: one of ${Object.keys(ENGINES).join(", ")}; --cluster: equal or unequal`,
  );
}
const entries: readonly Entry[] = [
  ...["prefix_aware", "min_expected_latency", "round_robin"].map((strategy) => ({
    contestant: lmproxyContestant(values.lmproxy, `lmproxy ${strategy}`, strategy),
    inLab: strategy,
  })),
  { contestant: vllmRouter("cache_aware"), inLab: "radix_cache_aware" },
  { contestant: vllmRouter("round_robin"), inLab: "round_robin" },
];
const trace = await slice();
const sent = requestsOf(trace);
const { loadAverage } = machineFacts();
const outcomes: Outcome[] = [];
for (const entry of entries) {
  const { name } = entry.contestant;
  const version = await entry.contestant.version();
  if (version instanceof Error) {
    console.error(`${name} is absent: ${version.message}`);
    continue;
  }
  console.error(`${name}: ${version}`);
  const measured = await run(entry, sent, cluster.speeds);
  outcomes.push({ name, lab: inLaboratory(entry.inLab, trace), ...measured });
}
console.info(tableOf(outcomes));
console.info(`\n${notesOn(outcomes).join("\n")}\nLoad average before: ${loadAverage}.`);
process.exit(0);
