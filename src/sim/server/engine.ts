/** The state that all routes of one simulated engine share, and what counts its requests. */

import { EngineModel } from "../model/engine-model.ts";
import { DEFAULT_ENGINE_PARAMS, type EngineParams } from "../model/engine-params.ts";
import type { ModelStats } from "../model/model-types.ts";
import { seededRandom } from "../model/seeded-random.ts";
import { DistServePeers, portOf } from "./distserve-peers.ts";
import { EngineDriver } from "./engine-driver.ts";
import type {
  EngineDebugState,
  EngineHealth,
  EngineOptions,
  SeenRequest,
} from "./engine-options.ts";
import { type Fault, FaultSwitches } from "./faults.ts";
import { type MetricsSource, metricsText } from "./metrics-text.ts";

/** How a request ended, as the engine sees it. */
export type RequestEnd = "completed" | "cancelled" | "failed";

/** One data-parallel rank: a model of its own, to which requests go in turn. */
export interface Rank {
  readonly model: EngineModel;
  readonly driver: EngineDriver;
}

/** The request a route answers. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** What is to go wrong with it. */
  readonly fault: Fault | null;
}

/** Paths counted singly; a fuzzer invents more than one wants to keep. */
const MAX_COUNTED_PATHS = 200;

/** What `/sleep` puts to sleep and `/wakeup` wakes. */
const SLEEPING_TAGS = ["weights", "kv_cache"] as const;

function resolveOptions(options: EngineOptions) {
  const random = options.random ?? seededRandom(options.seed ?? 1);
  return {
    role: options.role ?? "Hybrid",
    kind: options.kind ?? "lmdeploy",
    hasMetrics: options.metrics ?? true,
    metricsRefreshMs: options.metricsRefreshMs ?? 0,
    apiKey: options.apiKey ?? null,
    allowTerminate: options.allowTerminate ?? false,
    answerTokens: options.answerTokens ?? { min: 16, max: 64 },
    timeScale: options.timeScale ?? 0,
    now: options.now ?? (() => performance.now()),
    random,
    log: options.log ?? (() => {}),
    rememberedRequests: options.rememberedRequests ?? 50,
    tpSize: options.tpSize ?? 1,
    prefillIds: options.prefillIds ?? "session",
    needsProxyHeader: options.needsProxyHeader ?? false,
  } as const;
}

export type Settings = ReturnType<typeof resolveOptions>;

export class Engine {
  readonly settings: Settings;
  readonly params: EngineParams;
  readonly url: string;
  readonly peers: DistServePeers;
  readonly ranks: readonly Rank[];
  readonly faults: FaultSwitches;
  models: readonly string[];
  health: EngineHealth;
  /** Ends the engine; set by whoever can. */
  terminate: () => void = () => {};
  #metrics = { text: "", takenAtMs: Number.NEGATIVE_INFINITY };
  readonly #asleep = new Set<string>();
  #nextSession = 0;
  #openRequests = 0;
  #totalRequests = 0;
  readonly #ends: Record<RequestEnd, number> = { completed: 0, cancelled: 0, failed: 0 };
  readonly #requestsByPath = new Map<string, number>();
  #connections = 0;
  #lastRequests: SeenRequest[] = [];
  #lastBody: Uint8Array = new Uint8Array(0);

  constructor(options: EngineOptions, url: string) {
    this.settings = resolveOptions(options);
    this.params = { ...DEFAULT_ENGINE_PARAMS, ...options.params };
    this.url = url;
    this.peers = new DistServePeers(portOf(url), this.settings.tpSize);
    this.models = options.models;
    this.health = options.health ?? "healthy";
    const { now, timeScale, random } = this.settings;
    this.faults = new FaultSwitches(random, options.faults ?? []);
    this.ranks = Array.from({ length: options.ranks ?? 1 }, () => {
      const model = new EngineModel(this.params);
      return { model, driver: new EngineDriver(model, now, timeScale) };
    });
  }

  /** The number of the next session; sessions are counted from 0 since the start. */
  takeSession(): number {
    this.#nextSession += 1;
    return this.#nextSession - 1;
  }

  /** The rank that takes this session. */
  rankOf(session: number): Rank {
    const rank = this.ranks[session % this.ranks.length];
    if (rank === undefined) throw new Error("an engine has at least one rank");
    return rank;
  }

  /** Ends one session's request; `false` if there is none. */
  abort(session: number): boolean {
    return this.rankOf(Math.abs(session)).driver.cancelById(String(session));
  }

  abortAll(): void {
    for (const { driver } of this.ranks) driver.cancelAll();
  }

  /** Gives up what runs and refuses inference until weights and KV cache have been woken. */
  sleep(): void {
    this.abortAll();
    this.health = "sleeping";
    for (const tag of SLEEPING_TAGS) this.#asleep.add(tag);
  }

  /** Wakes what `tags` name, all without them. */
  wake(tags: readonly string[]): void {
    for (const tag of tags.length === 0 ? SLEEPING_TAGS : tags) this.#asleep.delete(tag);
    if (this.#asleep.size === 0 && this.health === "sleeping") this.health = "healthy";
  }

  countConnection(): void {
    this.#connections += 1;
  }

  /** Notes a request of any kind. */
  see(call: Call, target: string): void {
    const isNew = !this.#requestsByPath.has(call.path);
    const path = isNew && this.#requestsByPath.size >= MAX_COUNTED_PATHS ? "other" : call.path;
    this.#requestsByPath.set(path, (this.#requestsByPath.get(path) ?? 0) + 1);
    if (call.method !== "POST" || call.path.startsWith("/debug")) return;
    this.#lastBody = call.bytes;
    const headers = Object.fromEntries(call.headers);
    const kept = this.settings.rememberedRequests;
    this.#lastRequests.push({ method: call.method, target, headers });
    if (this.#lastRequests.length > 2 * kept) this.#lastRequests = this.#lastRequests.slice(-kept);
  }

  /** Counts an inference request as open until the function it returns is called (the first call counts). */
  open(): (end: RequestEnd) => void {
    this.#openRequests += 1;
    this.#totalRequests += 1;
    let isOpen = true;
    return (end) => {
      if (!isOpen) return;
      isOpen = false;
      this.#openRequests -= 1;
      this.#ends[end] += 1;
    };
  }

  /** Figures of all ranks, one entry each. */
  stats(): readonly ModelStats[] {
    return this.ranks.map((rank) => rank.model.stats());
  }

  metricsSource(): MetricsSource {
    return { kind: this.settings.kind, model: this.models[0] ?? "", stats: this.stats() };
  }

  /** `/metrics` as it was when last taken: the figures age until the refresh interval is over. */
  metricsText(): string {
    const { now, metricsRefreshMs } = this.settings;
    if (now() - this.#metrics.takenAtMs >= metricsRefreshMs) {
      this.#metrics = { text: metricsText(this.metricsSource()), takenAtMs: now() };
    }
    return this.#metrics.text;
  }

  state(): EngineDebugState {
    const stats = this.stats();
    const sum = (pick: (one: ModelStats) => number) =>
      stats.reduce((total, one) => total + pick(one), 0);
    const totalBlocks = sum((one) => one.totalBlocks);
    const usedBlocks = sum((one) => one.usedBlocks);
    const cachedBlocks = sum((one) => one.cachedBlocks);
    return {
      url: this.url,
      role: this.settings.role,
      models: this.models,
      health: this.health,
      openRequests: this.#openRequests,
      running: sum((one) => one.running),
      waiting: sum((one) => one.waiting),
      totalBlocks,
      usedBlocks,
      cachedBlocks,
      usage: (usedBlocks + cachedBlocks) / totalBlocks,
      preservedSessions: sum((one) => one.preservedRequests),
      preservedBlocks: sum((one) => one.preservedBlocks),
      connectedPeers: this.peers.connectedIds,
      totalRequests: this.#totalRequests,
      completedRequests: this.#ends.completed,
      cancelledRequests: this.#ends.cancelled,
      failedRequests: this.#ends.failed,
      requestsByPath: Object.fromEntries(this.#requestsByPath),
      connections: this.#connections,
      lastRequests: this.#lastRequests.slice(-this.settings.rememberedRequests),
      lastBodyBase64: Buffer.from(this.#lastBody).toString("base64"),
    };
  }
}
