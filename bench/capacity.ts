/** How far one process goes: costs, then more and more streams until something gives way. */
import { type Running, startContestant } from "./cell.ts";
import { type Contestant, lmproxyContestant } from "./contestants.ts";
import { type Cores, chooseCores, descriptorLimit, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import type { Measured } from "./load.ts";
import { cpuBetweenUs, readCpu } from "./process-tree.ts";
import type { Capacity, CapacityStep } from "./raw.ts";
import { FIGURES, isDisturbed } from "./summary.ts";
import { descriptorsFor, loadOf, WORKS, type Work } from "./works.ts";

/** A token each 20 ms. */
const TOKENS_PER_S = 50;
const STEPS = [250, 500, 750, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000];
const WINDOW = { warmMs: 2_000, measureMs: 4_000 };
const IDLE_NODES = 256;
const IDLE_MS = 10_000;
/** Of a core: from here on it is taken for full. */
const FULL_SHARE = 0.95;

type Say = (line: string) => void;

export async function measureCapacity(
  laboratory: Laboratory,
  contestant: Contestant,
  cores: Cores,
  say: Say,
): Promise<Capacity> {
  const started = (nodes: number) =>
    startContestant(contestant, laboratory.nodeUrls(nodes, 0), cores.contestant);
  const idleUs = await idleCost(await started(1));
  const watchingUs = await idleCost(await started(IDLE_NODES));
  const short = WORKS.find((work) => work.name === "A");
  const first = streamWork(STEPS[0] ?? 1);
  if (!short) throw new Error("no work A");
  const steps: CapacityStep[] = [];
  const running = await started(1);
  try {
    const requests = await runWork(laboratory, running, short);
    const tokens = await runWork(laboratory, running, first);
    for (const streams of STEPS) {
      const step = await climb(laboratory, running, streams, cores);
      steps.push(step);
      say(`${streams} streams: ${step.gaveWay ?? "carried"}`);
      if (step.gaveWay) break;
    }
    return {
      tokensPerS: TOKENS_PER_S,
      cpuPerTokenUs: FIGURES.cpuPerChunkUs(tokens),
      cpuPerRequestUs: FIGURES.cpuPerRequestUs(requests),
      cpuPerNodeSecondUs: Math.max(0, watchingUs - idleUs) / (IDLE_NODES - 1),
      idleNodes: IDLE_NODES,
      memoryPerStreamBytes: memoryPerStream(steps),
      steps,
    };
  } finally {
    await running.stop();
  }
}

function streamWork(streams: number): Work {
  const like = WORKS.find((work) => work.name === "C");
  if (!like) throw new Error("no work C");
  const ask = { stream: true, chunks: 0, everyMs: 1e3 / TOKENS_PER_S, bodyBytes: 1_024 };
  return { ...like, connections: streams, portions: [{ share: 1, ask }] };
}

function runWork(laboratory: Laboratory, running: Running, work: Work): Promise<Measured> {
  const cell = {
    port: running.port,
    contestantPid: running.pid,
    enginePid: laboratory.enginePid,
    cores: laboratory.cores,
    exactBytes: true,
  };
  return laboratory.run(loadOf(work, WINDOW, cell));
}

/** CPU µs a second of a process that is only asked to be there. */
async function idleCost(running: Running): Promise<number> {
  try {
    await Bun.sleep(WINDOW.warmMs);
    const before = readCpu(running.pid);
    await Bun.sleep(IDLE_MS);
    return (cpuBetweenUs(before, readCpu(running.pid)) * 1e3) / IDLE_MS;
  } finally {
    await running.stop();
  }
}

async function climb(
  laboratory: Laboratory,
  running: Running,
  streams: number,
  cores: Cores,
): Promise<CapacityStep> {
  const work = streamWork(streams);
  const nothing = { coreShare: 0, helperShare: 0, chunkP99Ms: 0 };
  const needed = descriptorsFor(work);
  if (needed > descriptorLimit()) {
    const gaveWay = `open files: ${needed} needed, ${descriptorLimit()} allowed (ulimit -Hn)`;
    return { ...nothing, streams, chunksPerS: 0, peakBytes: 0, gaveWay };
  }
  const measured = await runWork(laboratory, running, work);
  const us = measured.seconds * 1e6;
  const helpers = [measured.engineCpuUs / us, measured.generatorCpuUs / us];
  const isShared = cores.engine === cores.generator;
  const step = {
    streams,
    coreShare: measured.cpuUs / us,
    helperShare: isShared ? helpers.reduce((a, b) => a + b) : Math.max(...helpers),
    chunkP99Ms: FIGURES.chunkP99Us(measured) / 1e3,
    chunksPerS: FIGURES.chunksPerS(measured),
    peakBytes: measured.peakBytes,
  };
  return { ...step, gaveWay: whatGaveWay(step, measured) };
}

/** A token that comes later than the next one is due is late; who was full then was the cause. */
function whatGaveWay(step: Omit<CapacityStep, "gaveWay">, measured: Measured): string | null {
  if (measured.failed > 0) return `requests failed: ${Object.keys(measured.reasons).join(", ")}`;
  const isLate = step.chunkP99Ms > 1e3 / TOKENS_PER_S;
  const isShort = step.chunksPerS < 0.97 * step.streams * TOKENS_PER_S;
  if (!isLate && !isShort) return null;
  if (step.helperShare > FULL_SHARE && step.helperShare >= step.coreShare) {
    return "load generator and engine, not the proxy";
  }
  if (isDisturbed(measured)) return "nothing of ours: other processes were on the cores";
  const lateness = `p99 of a token ${step.chunkP99Ms.toFixed(0)} ms`;
  return step.coreShare > FULL_SHARE ? `the proxy's core: ${lateness}` : lateness;
}

/** From the smallest to the largest step that was carried. */
function memoryPerStream(steps: readonly CapacityStep[]): number | null {
  const carried = steps.filter((step) => step.peakBytes > 0);
  const [small] = carried;
  const large = carried.at(-1);
  if (!small || !large || small === large) return null;
  return (large.peakBytes - small.peakBytes) / (large.streams - small.streams);
}

/** Run by itself: `bun bench/capacity.ts [EXECUTABLE]`. */
if (import.meta.main) {
  killAllAtExit();
  const cores = chooseCores();
  const laboratory = await Laboratory.open(cores, IDLE_NODES, 0);
  const contestant = lmproxyContestant(Bun.argv[2]);
  const version = await contestant.version();
  if (version instanceof Error) {
    console.error(version.message);
    process.exit(1);
  }
  console.log(await measureCapacity(laboratory, contestant, cores, console.error));
  await laboratory.close();
  process.exit(0);
}
