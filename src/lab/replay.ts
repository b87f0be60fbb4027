/**
 * One run: a trace against a cluster of modelled engines, in virtual time, through the proxy's own
 * registry. Everything is drawn from the seed.
 */

import type { Role } from "../core/engine/roles.ts";
import { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { EngineParams } from "../sim/model/engine-params.ts";
import { seededRandom } from "../sim/model/seeded-random.ts";
import type { ClusterShape } from "./clusters.ts";
import type { Contestant, Oracle } from "./contestant.ts";
import type { EngineNode } from "./engine-node.ts";
import { percentile, type Row, Spread } from "./measures.ts";
import { Operations } from "./operations.ts";
import { VirtualTime } from "./virtual-time.ts";
import { Workers } from "./workers.ts";
import type { Workload, WorkloadRequest } from "./workload.ts";

export interface ReplayOptions {
  readonly workload: Workload;
  readonly cluster: ClusterShape;
  readonly model: { readonly name: string; readonly params: EngineParams };
  readonly contestant: {
    readonly name: string;
    readonly make: (oracle: Oracle, time: VirtualTime) => Contestant;
  };
  readonly seed: number;
  /** Of the proxy, at least 1; each request comes to one of them by a connection of its own. Left out: 1. */
  readonly workers?: number;
  /** Factor on the rate at which requests come, above 0. */
  readonly rate: number;
  /** A turn begins when the one before it was answered, and its pause is over. */
  readonly closedLoop: boolean;
  /** A real clock, ms, for the cost of decisions. */
  readonly stopwatch: () => number;
  /** Called now and then with how many requests have ended. */
  readonly tell?: (requests: number) => void;
}

export interface Replayed {
  readonly row: Row;
  /** Sorted, s. */
  readonly ttftS: Float64Array;
  /** Requests in flight at each node, sampled every `SAMPLE_MS`. */
  readonly load: readonly (readonly number[])[];
}

/** How often the load is looked at, ms. */
export const SAMPLE_MS = 10_000;
/** How often is told how far it is, in requests. */
const TELL_EVERY = 1_000;
/** How many nodes a request may be lost with before it is given up. */
const MAX_ATTEMPTS = 3;
const MODEL = "m";

/** When a request came, and to which worker. */
interface Arrival {
  readonly registry: Registry;
  readonly atMs: number;
}

/** What a prefill node keeps for a decode node. */
interface Kept {
  /** It is there, or will not be fetched; may be said twice. */
  release(): void;
}

function roleAfter(kept: Kept | null): Role {
  return kept === null ? "Prefill" : "Decode";
}

export function replay(options: ReplayOptions): Replayed {
  return new Replay(options).run();
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #time = new VirtualTime();
  readonly #random: () => number;
  readonly #engines = new Map<number, EngineNode>();
  readonly #workers: Workers;
  readonly #operations: Operations;
  readonly #ttftS: number[] = [];
  readonly #e2eS: number[] = [];
  readonly #spread = new Spread();
  readonly #load: number[][] = [];
  /** Requests that begin when the one at their place has been answered. */
  readonly #next = new Map<number, number[]>();
  #current: WorkloadRequest | null = null;
  #open = 0;
  #refused = 0;
  #cachedTokens = 0;
  #promptTokens = 0;
  #decisionMs = 0;
  #decisions = 0;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    const { contestant, workers: count = 1, seed } = options;
    const oracle: Oracle = {
      engineOf: (id) => this.#engines.get(id),
      current: () => this.#current,
    };
    const make = () => contestant.make(oracle, this.#time);
    const { now } = this.#time;
    this.#workers = new Workers({ count, seed, make, now, random: this.#random });
    this.#operations = new Operations(this.#workers, this.#time, this.#random, (node, engine) =>
      this.#engines.set(node.id, engine),
    );
  }

  run(): Replayed {
    const { cluster, model } = this.#options;
    this.#operations.start(cluster, model.params);
    const startMs = this.#time.nowMs;
    const { requests, stepMs } = this.#options.workload.trace;
    this.#open = requests.length;
    this.#comesMs = new Float64Array(requests.length);
    const coming: number[] = [];
    requests.forEach(({ after, atMs }, place) => {
      if (this.#options.closedLoop && after >= 0) {
        const waiting = this.#next.get(after);
        if (waiting === undefined) this.#next.set(after, [place]);
        else waiting.push(place);
        return;
      }
      const withinStepMs = this.#random() * stepMs;
      this.#comesMs[place] = startMs + (atMs + withinStepMs) / this.#options.rate;
      coming.push(place);
    });
    const comes = (place: number) => this.#comesMs[place] ?? 0;
    this.#coming = Uint32Array.from(coming).sort((a, b) => comes(a) - comes(b) || a - b);
    this.#awaitArrival();
    this.#time.after(SAMPLE_MS, this.#sample);
    while (this.#open > 0) this.#time.advance(SAMPLE_MS);
    return this.#result();
  }

  /** When each request comes that waits for none, ms, by its place. */
  #comesMs = new Float64Array(0);
  /** Their places, in order of that. */
  #coming = new Uint32Array(0);
  #came = 0;

  #awaitArrival(): void {
    const place = this.#coming[this.#came];
    if (place === undefined) return;
    this.#came += 1;
    const inMs = (this.#comesMs[place] ?? 0) - this.#time.nowMs;
    this.#time.after(Math.max(0, inMs), () => {
      this.#awaitArrival();
      this.#begin(place);
    });
  }

  readonly #sample = (): void => {
    // Each counts the requests of all.
    const nodes = this.#workers.registries[0]?.nodes() ?? [];
    for (const ofRole of Map.groupBy(nodes, ({ role }) => role).values()) {
      this.#spread.add(ofRole.map(({ inFlight }) => inFlight));
    }
    this.#load.push(nodes.map(({ inFlight }) => inFlight));
    this.#time.after(SAMPLE_MS, this.#sample);
  };

  #begin(place: number): void {
    const request = this.#options.workload.request(place);
    this.#promptTokens += request.inputTokens;
    const arrival = { registry: this.#workers.forConnection(), atMs: this.#time.nowMs };
    this.#send(place, request, arrival, new Set());
  }

  /** @param kept The prompt's KV cache, where a prefill node has made it. */
  #send(
    place: number,
    request: WorkloadRequest,
    arrival: Arrival,
    tried: Set<Node>,
    kept: Kept | null = null,
  ): void {
    const role = this.#options.cluster.roles === undefined ? "Hybrid" : roleAfter(kept);
    const lease = this.#choose(arrival.registry, request, role, tried);
    if (lease === null) {
      kept?.release();
      this.#end(place, false);
      return;
    }
    const { node } = lease;
    const engine = this.#engines.get(node.id);
    const isPrefill = role === "Prefill";
    const id = `${place}`;
    let told = false;
    const accepted = engine?.submit({
      id,
      promptTokens: request.inputTokens,
      answerTokens: isPrefill ? 1 : request.outputTokens,
      blockHashes: request.blockHashes,
      migrated: kept !== null,
      preserve: isPrefill,
      firstToken: (cachedTokens) => {
        if (kept === null) this.#cachedTokens += cachedTokens;
        kept?.release();
        if (request.asked.stream || isPrefill) this.#hear(lease);
        if (isPrefill) return;
        told = true;
        this.#ttftS.push((this.#time.nowMs - arrival.atMs) / 1_000);
      },
      ended: (outcome) => {
        if (outcome.kind === "answered") this.#hear(lease);
        lease.end(outcome);
        const answered = outcome.kind === "answered";
        if (answered && isPrefill) {
          const release = () => engine.release(id);
          this.#send(place, request, arrival, tried, { release });
          return;
        }
        kept?.release();
        if (answered) this.#e2eS.push((this.#time.nowMs - arrival.atMs) / 1_000);
        tried.add(node);
        if (answered || told || tried.size >= MAX_ATTEMPTS) this.#end(place, answered);
        else this.#send(place, request, arrival, tried);
      },
    });
    if (accepted === true) return;
    kept?.release();
    lease.end({ kind: "answered", status: 400 });
    this.#end(place, false);
  }

  /** The first byte of its answer comes: with the first token of a stream, else with the last one. */
  #hear(lease: Lease): void {
    if (lease.firstByteAtMs !== null) return;
    lease.answering(200);
    lease.piece(this.#time.nowMs);
  }

  #choose(
    registry: Registry,
    request: WorkloadRequest,
    role: Role,
    tried: ReadonlySet<Node>,
  ): Lease | null {
    const { stopwatch } = this.#options;
    this.#current = request;
    const startMs = stopwatch();
    const lease = registry.acquire({
      model: MODEL,
      role,
      asked: request.asked,
      tried,
    });
    this.#decisionMs += stopwatch() - startMs;
    this.#decisions += 1;
    this.#current = null;
    return lease instanceof Lease ? lease : null;
  }

  #end(place: number, answered: boolean): void {
    this.#open -= 1;
    if (!answered) this.#refused += 1;
    const { requests } = this.#options.workload.trace;
    if (this.#open % TELL_EVERY === 0) this.#options.tell?.(requests.length - this.#open);
    for (const next of this.#next.get(place) ?? []) {
      const pauseMs = requests[next]?.pauseMs ?? 0;
      this.#time.after(pauseMs, () => this.#begin(next));
    }
  }

  #result(): Replayed {
    const { workload, contestant, cluster, model, seed } = this.#options;
    const ttft = Float64Array.from(this.#ttftS).sort();
    const e2e = Float64Array.from(this.#e2eS).sort();
    const row: Row = {
      strategy: contestant.name,
      trace: workload.trace.name,
      cluster: cluster.name,
      nodes: cluster.speeds.length,
      model: model.name,
      seed,
      workers: this.#workers.registries.length,
      requests: workload.trace.requests.length,
      refused: this.#refused,
      ttft_p50_s: percentile(ttft, 0.5),
      ttft_p90_s: percentile(ttft, 0.9),
      ttft_p99_s: percentile(ttft, 0.99),
      e2e_p50_s: percentile(e2e, 0.5),
      e2e_p90_s: percentile(e2e, 0.9),
      e2e_p99_s: percentile(e2e, 0.99),
      hit_rate: this.#promptTokens === 0 ? 0 : this.#cachedTokens / this.#promptTokens,
      ideal_hit_rate: workload.idealHitRate,
      load_spread: this.#spread.ratio,
      decision_us: (this.#decisionMs * 1_000) / Math.max(1, this.#decisions),
    };
    return { row, ttftS: ttft, load: this.#load };
  }
}
