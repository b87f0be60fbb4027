/**
 * A guard that counts instead of timing: system calls of lmproxy per request and per chunk, by
 * strace, for a fixed number of each. Exits with 1 when a limit of limits.json is exceeded.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Running, startContestant } from "./cell.ts";
import { Client, type Job, Recorder } from "./client.ts";
import { sharedClockUs } from "./clock.ts";
import { type Contestant, lmproxyContestant } from "./contestants.ts";
import { type Engine, startEngine } from "./engine.ts";
import { allContestants } from "./field.ts";
import { killAllAtExit, removeScratch, scratchDirectory } from "./host.ts";
import { treeOf } from "./process-tree.ts";
import { type Ask, requestBytes } from "./wire.ts";

const LIMITS = join(import.meta.dir, "limits.json");
/** What a limit leaves above the count it was taken from. */
const MARGIN = 1.25;
/** Below this a count says nothing but how the scheduler felt. */
const LEAST = 0.05;
/** Waiting and memory: how often they happen depends on the machine, not on what we do per unit. */
const UNCOUNTED =
  /^(epoll_p?wait2?|futex|madvise|mmap|munmap|mprotect|sched_yield|restart_syscall|membarrier|clock_gettime)$/;
const CONNECTIONS = 8;

interface Task {
  unit: "request" | "chunk";
  ask: Ask;
  /** Requests in all; chunks are this many times `ask.chunks`. */
  requests: number;
}

const TASKS: readonly Task[] = [
  {
    unit: "request",
    ask: { stream: false, chunks: 0, everyMs: 0, bodyBytes: 1_024 },
    requests: 4_000,
  },
  { unit: "chunk", ask: { stream: true, chunks: 200, everyMs: 5, bodyBytes: 1_024 }, requests: 40 },
];

/** Calls per unit by name, and their sum as `total`. */
export type Counts = Record<string, number>;
export type Limits = Partial<Record<Task["unit"], Counts>>;

/** Reads the table `strace -c` ends with: percent, seconds, µs a call, calls, perhaps errors, name. */
export function parseStraceTable(table: string): Counts {
  const counts: Counts = {};
  for (const line of table.split("\n")) {
    const columns = line.trim().split(/\s+/);
    const name = columns.at(-1) ?? "";
    const calls = Number(columns[3]);
    if (/^\d/.test(columns[0] ?? "") && Number.isInteger(calls) && name !== "total") {
      counts[name] = calls;
    }
  }
  return counts;
}

/** What is exceeded, in words; empty when all is within the limits. */
export function exceeded(unit: string, counts: Counts, limits: Counts): string[] {
  return Object.entries(limits).flatMap(([name, limit]) => {
    const count = counts[name] ?? 0;
    return count > limit
      ? [`${name}: ${count.toFixed(2)} per ${unit}, at most ${limit.toFixed(2)}`]
      : [];
  });
}

function perUnit(calls: Counts, units: number): Counts {
  const kept = Object.entries(calls).filter(([name]) => !UNCOUNTED.test(name));
  const total = kept.reduce((sum, [, count]) => sum + count, 0);
  const named = kept
    .map(([name, count]): [string, number] => [name, count / units])
    .filter(([, count]) => count >= LEAST)
    .sort(([, a], [, b]) => b - a);
  return Object.fromEntries([["total", total / units], ...named]);
}

/** Makes exactly so many requests over a few connections. @throws Error when one fails */
async function makeRequests(port: number, ask: Ask, requests: number): Promise<void> {
  const recorder = new Recorder();
  const bytes = requestBytes(port, ask);
  const { promise, resolve } = Promise.withResolvers<void>();
  let toSend = requests;
  let toFinish = requests;
  const job = (): Job => ({
    bytes,
    chunks: ask.stream ? ask.chunks : 0,
    sinceMs: performance.now(),
    leaveAfterMs: null,
  });
  const next = (client: Client) => {
    if (toSend-- > 0) client.start(job());
  };
  const onIdle = (client: Client) => {
    if (--toFinish === 0) resolve();
    else next(client);
  };
  const options = { port, exactBytes: true, recorder, clockUs: sharedClockUs(), onIdle };
  const clients = Array.from({ length: CONNECTIONS }, () => new Client(options));
  for (const client of clients) next(client);
  await promise;
  for (const client of clients) client.close();
  if (recorder.failed > 0) {
    throw new Error(`requests failed under strace: ${[...recorder.reasons.keys()].join(", ")}`);
  }
}

async function countCalls(running: Running, task: Task): Promise<Counts> {
  const directory = scratchDirectory("strace");
  const table = join(directory, "table");
  try {
    // What happens once (connections, compiled code) is over before the counting begins.
    await makeRequests(running.port, task.ask, Math.ceil(task.requests / 4));
    const tree = treeOf(running.pid).flatMap((pid) => ["-p", String(pid)]);
    const strace = Bun.spawn(["strace", "-c", "-f", "-o", table, ...tree], {
      stdout: "ignore",
      stderr: "pipe",
    });
    const reader = strace.stderr.getReader();
    const said = new TextDecoder().decode((await reader.read()).value);
    if (!said.includes("attached")) throw new Error(`strace does not attach: ${said.trim()}`);
    await makeRequests(running.port, task.ask, task.requests);
    strace.kill("SIGINT");
    await strace.exited;
    const units = task.unit === "chunk" ? task.requests * task.ask.chunks : task.requests;
    return perUnit(parseStraceTable(await Bun.file(table).text()), units);
  } finally {
    removeScratch(directory);
  }
}

async function countAll(contestant: Contestant, engine: Engine): Promise<Map<Task, Counts>> {
  const nodes = engine.ports.map((port) => `http://127.0.0.1:${port}`);
  const running = await startContestant(contestant, nodes, null);
  try {
    const counts = new Map<Task, Counts>();
    for (const task of TASKS) counts.set(task, await countCalls(running, task));
    return counts;
  } finally {
    await running.stop();
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      contestant: { type: "string" },
      lmproxy: { type: "string" },
      update: { type: "boolean" },
    },
  });
  if (!Bun.which("strace")) {
    console.log("absent: strace is not installed, nothing was counted");
    return 0;
  }
  const field = await allContestants(values.lmproxy, false);
  const contestant =
    field.find((each) => each.name === values.contestant) ?? lmproxyContestant(values.lmproxy);
  const version = await contestant.version();
  if (version instanceof Error) {
    console.log(`absent: ${version.message}`);
    return 0;
  }
  killAllAtExit();
  const engine = startEngine({ nodes: 1, others: 0 });
  const found = await countAll(contestant, engine);
  engine.stop();
  const limits: Limits = await Bun.file(LIMITS).json();
  const problems: string[] = [];
  const updated: Limits = {};
  for (const [{ unit }, counts] of found) {
    const shown = Object.entries(counts).map(([name, count]) => `${name} ${count.toFixed(2)}`);
    console.log(`${contestant.title}, system calls per ${unit}: ${shown.join(", ")}`);
    problems.push(...exceeded(unit, counts, limits[unit] ?? {}));
    updated[unit] = withMargin(counts);
  }
  if (values.update) {
    await Bun.write(LIMITS, `${JSON.stringify(updated, null, 2)}\n`);
    return 0;
  }
  for (const problem of problems) console.error(`more than allowed: ${problem}`);
  return problems.length > 0 ? 1 : 0;
}

function withMargin(counts: Counts): Counts {
  const limit = (count: number) => Math.ceil(count * MARGIN * 100) / 100;
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, limit(count)]));
}

if (import.meta.main) process.exit(await main());
