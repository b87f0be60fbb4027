/** What happens to the engines, in an order that the seed decides. */
import { readFileSync } from "node:fs";
import type { FaultRule } from "../../src/sim/server/faults.ts";
import { kill } from "../../test/support/kill.ts";
import { pause } from "./clients.ts";
import type { Cluster } from "./cluster.ts";

/** Each takes a share of the requests of one engine. */
const FAULTS: readonly FaultRule["fault"][] = [
  { kind: "reset" },
  { kind: "hang", at: "before-headers" },
  { kind: "hang", at: "body", afterBytes: 300 },
  { kind: "die", afterBytes: 0 },
  { kind: "die", afterBytes: 700 },
  { kind: "slow", firstByteMs: 300, perChunkMs: 5 },
  { kind: "answer", status: 500, body: '{"message":"failed"}' },
  { kind: "answer", status: 502 },
  { kind: "answer", status: 503, headers: { "retry-after": "1" } },
  { kind: "answer", status: 429 },
  { kind: "engine-error", status: 503 },
  { kind: "engine-error", status: 500, afterTokens: 4 },
  { kind: "exception" },
  { kind: "close" },
  { kind: "metrics", lie: "nan" },
  { kind: "metrics", lie: "garbage" },
];

/** What an engine says at once that has been started with another key, model or context length. */
const REFUSALS = [
  { status: 401, body: '{"error":"Unauthorized"}' },
  { status: 404, body: '{"message":"The model does not exist.","code":404,"object":"error"}' },
  { status: 400, body: '{"message":"The request is too long.","code":400,"object":"error"}' },
];

type Event = (cluster: Cluster, index: number, random: () => number) => Promise<void>;

const EVENTS: Readonly<Record<string, Event>> = {
  async kill(cluster, index) {
    await cluster.kill(index);
    await cluster.revive(index);
  },
  async stop(cluster, index, random) {
    cluster.engine(index).kill("SIGSTOP");
    await pause(500 + random() * 3_000);
    cluster.engine(index).kill("SIGCONT");
  },
  async drain(cluster, index) {
    const { proxy } = cluster;
    const { url } = cluster.engine(index);
    await fetch(`${proxy.url}/nodes/drain`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url }),
    });
    await pause(500);
    await cluster.kill(index);
    await cluster.revive(index, proxy.url);
  },
  async misbehave(cluster, index, random) {
    const fault = FAULTS[Math.floor(random() * FAULTS.length)] ?? { kind: "reset" };
    await cluster.engine(index).setFaults([{ fault, probability: 0.05 + random() * 0.3 }]);
    await pause(1_000 + random() * 2_000);
    await cluster.engine(index).setFaults([]);
  },
  /** Behind a healthy `/health`, taking requests and saying nothing. */
  async hang(cluster, index, random) {
    await cluster.engine(index).post("/debug/set", { pace: 0 });
    await pause(1_000 + random() * 4_000);
    await cluster.engine(index).post("/debug/set", { pace: 1 });
  },
  /** Ten times slower, and alive. */
  async slow(cluster, index, random) {
    await cluster.engine(index).post("/debug/set", { pace: 0.1 });
    await pause(1_000 + random() * 4_000);
    await cluster.engine(index).post("/debug/set", { pace: 1 });
  },
  async refuse(cluster, index, random) {
    const refusal = REFUSALS[Math.floor(random() * REFUSALS.length)];
    const headers = { "content-type": "application/json" };
    const fault = { kind: "answer", status: 401, headers, ...refusal } as const;
    await cluster.engine(index).setFaults([{ fault }]);
    await pause(500 + random() * 2_000);
    await cluster.engine(index).setFaults([]);
  },
  /** Two words to everything. */
  async babble(cluster, index, random) {
    await cluster.engine(index).setFaults([{ fault: { kind: "short", tokens: 2 } }]);
    await pause(1_000 + random() * 4_000);
    await cluster.engine(index).setFaults([]);
  },
  /** The first words, and nothing more. */
  async stall(cluster, index, random) {
    const fault = { kind: "hang", at: "body", afterBytes: 600 } as const;
    await cluster.engine(index).setFaults([{ fault }]);
    await pause(1_000 + random() * 4_000);
    await cluster.engine(index).setFaults([]);
  },
  /** Seen late, both ways. */
  async sleep(cluster, index, random) {
    await cluster.engine(index).post("/sleep", {});
    await pause(500 + random() * 3_000);
    await cluster.engine(index).post("/wakeup", {});
  },
  /** What computes is gone, what answers is not; then the rest goes, too. */
  async lose(cluster, index) {
    await cluster.engine(index).post("/debug/set", { dead: true });
    await pause(1_000);
    await cluster.kill(index);
    await cluster.revive(index);
  },
};

/** Five deaths in a minute would end all, ms. */
const BETWEEN_KILLS_MS = 20_000;
let killedAtMs = Number.NEGATIVE_INFINITY;

const WORKER_EVENTS: Readonly<Record<string, Event>> = {
  async "kill a worker"({ proxy }, _index, random) {
    if (performance.now() - killedAtMs < BETWEEN_KILLS_MS) return;
    killedAtMs = performance.now();
    const workers = workersOf(proxy.process.pid);
    const victim = workers[Math.floor(random() * workers.length)];
    // None serves while their supervisor is replaced.
    if (victim !== undefined) kill(victim, "SIGKILL");
    await pause(500);
  },
  /** Refused while others still finish. */
  async upgrade({ proxy }) {
    await (await fetch(`${proxy.url}/upgrade`, { method: "POST" })).bytes();
  },
  async "replace the supervisor"({ proxy }) {
    await (await fetch(`${proxy.url}/upgrade?supervisor=true`, { method: "POST" })).bytes();
  },
};

/** Workers of the supervisor `pid`, or of one that took its place. */
function workersOf(pid: number): number[] {
  try {
    const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
    return pids
      .filter(Boolean)
      .map(Number)
      .flatMap((child) => {
        const isWorker = readFileSync(`/proc/${child}/cmdline`, "utf8").endsWith("worker\0");
        return isWorker ? [child] : workersOf(child);
      });
  } catch {
    // One has ended meanwhile.
    return [];
  }
}

/** Lets things happen until `goesOn` says no; returns how many did, by name. */
export async function causeChaos(
  cluster: Cluster,
  random: () => number,
  goesOn: () => boolean,
  hasWorkers = false,
): Promise<ReadonlyMap<string, number>> {
  const happened = new Map<string, number>();
  const events = hasWorkers ? { ...EVENTS, ...WORKER_EVENTS } : EVENTS;
  const names = Object.keys(events);
  while (goesOn()) {
    const name = names[Math.floor(random() * names.length)] ?? "kill";
    await events[name]?.(cluster, Math.floor(random() * cluster.size), random);
    happened.set(name, (happened.get(name) ?? 0) + 1);
    await pause(random() * 1_000);
  }
  return happened;
}
