import { cpus } from "node:os";
import { Client, type Job, Recorder } from "./client.ts";
import { sharedClockUs } from "./clock.ts";
import { readBusyUs } from "./core-time.ts";
import { Histogram } from "./histogram.ts";
import type { Load, Measured, Portion } from "./load.ts";
import { cpuBetweenUs, readCpu, treeMemoryBytes } from "./process-tree.ts";
import { requestBytes } from "./wire.ts";

/** A load that fails this often does not count anyway: it ends early. */
const GIVE_UP_FAILURES = 500;
/** Lateness of the generator's own timer up to which a request counts as sent when it was due. */
const TICK_MS = 2;
/** How long the answers under way at the end may take. */
const GRACE_MS = 15_000;

/** A small seeded generator (mulberry32): every run asks for the same mix in the same order. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Prepared extends Portion {
  bytes: Buffer;
  durationMs: number;
}

function prepare(load: Load): Prepared[] {
  return load.portions.map((portion) => ({
    ...portion,
    bytes: requestBytes(load.port, portion.ask),
    durationMs: portion.ask.chunks * portion.ask.everyMs,
  }));
}

class Run {
  readonly #load: Load;
  readonly #portions: Prepared[];
  readonly #random = seededRandom(42);
  readonly recorder = new Recorder();
  readonly lateness = new Histogram();
  readonly #clients: Client[] = [];
  readonly #idle: Client[] = [];
  /** Open loop: due times of requests for which no connection was free, oldest first. */
  #waiting: number[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isStopping = false;
  #whenQuiet: (() => void) | null = null;

  constructor(load: Load) {
    this.#load = load;
    this.#portions = prepare(load);
    const clockUs = sharedClockUs();
    for (let i = 0; i < load.connections; i++) {
      const client = new Client({
        port: load.port,
        exactBytes: load.exactBytes,
        recorder: this.recorder,
        clockUs,
        onIdle: (idle) => this.#onIdle(idle),
      });
      this.#clients.push(client);
    }
  }

  get unsent(): number {
    return this.#waiting.length;
  }

  get hasGivenUp(): boolean {
    return this.recorder.failed > GIVE_UP_FAILURES;
  }

  /** Resolves when the load stands: all connections at work, or the schedule begun. */
  async begin(): Promise<void> {
    const { ratePerS, rampPerMs } = this.#load;
    if (ratePerS === null) {
      for (let i = 0; i < this.#clients.length; i++) {
        if (i % rampPerMs === 0) await Bun.sleep(1);
        const client = this.#clients[i];
        if (client) client.start(this.#nextJob(performance.now()));
      }
      return;
    }
    this.#idle.push(...this.#clients);
    const stepMs = 1e3 / ratePerS;
    let nextMs = performance.now();
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      for (; nextMs <= nowMs; nextMs += stepMs) this.#arrive(nextMs, nowMs);
    }, 1);
  }

  /** Sends no more; resolves when the answers under way are complete, or have been given up. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#timer) clearInterval(this.#timer);
    const quiet = new Promise<void>((resolve) => {
      this.#whenQuiet = resolve;
      this.#checkQuiet();
    });
    await Promise.race([quiet, Bun.sleep(this.hasGivenUp ? 0 : GRACE_MS)]);
    for (const client of this.#clients) client.abandon("unfinished at the end");
  }

  checkStalls(): void {
    const beforeMs = performance.now() - this.#load.stallMs;
    for (const client of this.#clients) client.checkStall(beforeMs);
  }

  #arrive(dueMs: number, nowMs: number): void {
    this.lateness.record((nowMs - dueMs) * 1e3);
    // The schedule is as fine as the timer: what it sends late by a tick was due at the tick.
    const sinceMs = nowMs - dueMs <= TICK_MS ? nowMs : dueMs;
    const client = this.#waiting.length === 0 ? this.#idle.pop() : undefined;
    if (client) client.start(this.#nextJob(sinceMs));
    else this.#waiting.push(sinceMs);
  }

  #onIdle(client: Client): void {
    if (this.#isStopping || this.hasGivenUp) {
      this.#checkQuiet();
      return;
    }
    const isClosedLoop = this.#load.ratePerS === null;
    const sinceMs = isClosedLoop ? performance.now() : this.#waiting.shift();
    if (sinceMs === undefined) this.#idle.push(client);
    else client.start(this.#nextJob(sinceMs));
  }

  #checkQuiet(): void {
    if (this.#whenQuiet && !this.#clients.some((client) => client.isBusy)) this.#whenQuiet();
  }

  #drawPortion(): Prepared | undefined {
    let draw = this.#portions.length === 1 ? 0 : this.#random();
    for (const portion of this.#portions) {
      draw -= portion.share;
      if (draw < 0) return portion;
    }
    return this.#portions.at(-1);
  }

  #nextJob(sinceMs: number): Job {
    const portion = this.#drawPortion();
    if (!portion) throw new Error("a load needs at least one portion");
    const leaves = portion.leaving !== undefined && this.#random() < portion.leaving;
    return {
      bytes: portion.bytes,
      chunks: portion.ask.stream ? portion.ask.chunks : 0,
      sinceMs,
      leaveAfterMs: leaves ? this.#random() * portion.durationMs : null,
    };
  }
}

/** Puts a load on a port, and measures a window of it. */
export async function runLoad(load: Load): Promise<Measured> {
  const run = new Run(load);
  const { recorder } = run;
  const stallTimer = setInterval(() => run.checkStalls(), 500);
  await run.begin();
  await Bun.sleep(load.warmMs);

  const pids = [load.contestantPid, load.enginePid, process.pid];
  const before = pids.map((pid) => (pid === 0 ? null : readCpu(pid)));
  const busyBeforeUs = readBusyUs(load.cores);
  const startMs = performance.now();
  recorder.isMeasuring = true;
  await untilMs(startMs + load.measureMs, () => run.hasGivenUp);
  recorder.isMeasuring = false;
  const seconds = (performance.now() - startMs) / 1e3;
  const [cpuUs = 0, engineCpuUs = 0, generatorCpuUs = 0] = pids.map((pid, i) => {
    const reading = before[i];
    return reading ? cpuBetweenUs(reading, readCpu(pid)) : 0;
  });
  const busyUs = readBusyUs(load.cores) - busyBeforeUs;
  const foreignUs = Math.max(0, busyUs - cpuUs - engineCpuUs - generatorCpuUs);
  const coreUs = (load.cores.length || cpus().length) * seconds * 1e6;
  const peakBytes = load.contestantPid === 0 ? 0 : treeMemoryBytes(load.contestantPid, "VmHWM");

  const unsent = run.unsent;
  await run.stop();
  clearInterval(stallTimer);
  return {
    seconds,
    requests: recorder.requests,
    chunks: recorder.chunks,
    failed: recorder.failed,
    reasons: Object.fromEntries(recorder.reasons),
    left: recorder.left,
    unsent,
    connects: recorder.connects,
    cpuUs,
    engineCpuUs,
    generatorCpuUs,
    foreignShare: foreignUs / coreUs,
    peakBytes,
    latenessP99Us: run.lateness.count === 0 ? 0 : run.lateness.quantile(0.99),
    firstByte: recorder.firstByte.sparse(),
    whole: recorder.whole.sparse(),
    chunk: recorder.chunk.sparse(),
  };
}

async function untilMs(endMs: number, isOver: () => boolean): Promise<void> {
  while (performance.now() < endMs && !isOver()) {
    await Bun.sleep(Math.min(50, Math.max(1, endMs - performance.now())));
  }
}
