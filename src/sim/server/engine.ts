/** The state that all routes of one simulated engine share. */
import { EngineModel } from "../model/engine-model.ts";
import { DEFAULT_ENGINE_PARAMS, type EngineParams } from "../model/engine-params.ts";
import type { ModelStats } from "../model/model-types.ts";
import { DistServePeers, portOf } from "./distserve-peers.ts";
import { EngineDriver } from "./engine-driver.ts";
import type { EngineDebugState, EngineHealth, EngineOptions } from "./engine-options.ts";
import { FaultSwitches } from "./faults.ts";
import { HealthMonitor } from "./health-monitor.ts";
import { KeptResponses } from "./kept-responses.ts";
import { type MetricsSource, metricsText } from "./metrics-text.ts";
import { RequestLog } from "./request-log.ts";
import { Sessions } from "./sessions.ts";
import { resolveOptions, type Settings } from "./settings.ts";

/** One data-parallel rank: a model of its own, to which requests go in turn. */
export interface Rank {
  readonly model: EngineModel;
  readonly driver: EngineDriver;
}

/** What `/sleep` puts to sleep and `/wakeup` wakes. */
const SLEEPING_TAGS = ["weights", "kv_cache"] as const;

export class Engine {
  readonly settings: Settings;
  readonly params: EngineParams;
  readonly url: string;
  readonly peers: DistServePeers;
  readonly ranks: readonly Rank[];
  readonly faults: FaultSwitches;
  readonly sessions = new Sessions();
  /** Null where engines of its kind keep none. */
  readonly kept: KeptResponses | null;
  readonly log: RequestLog;
  models: readonly string[];
  /** Ends the engine; set by whoever can. */
  terminate: () => void = () => {};
  readonly #monitor: HealthMonitor;
  readonly #asleep = new Set<string>();
  #whenAwake = Promise.withResolvers<void>();
  #pace = 1;
  #isDead = false;
  /** Clients that left while they waited for a place, which LMDeploy goes on counting. */
  #lostWaiting = 0;
  #metrics = { text: "", takenAtMs: Number.NEGATIVE_INFINITY };

  constructor(options: EngineOptions, url: string) {
    this.settings = resolveOptions(options);
    const { kind } = this.settings;
    this.kept = kind === "vllm" || kind === "sglang" ? new KeptResponses() : null;
    this.params = { ...DEFAULT_ENGINE_PARAMS, ...options.params };
    this.url = url;
    this.peers = new DistServePeers(portOf(url), this.settings.tpSize);
    this.models = options.models;
    this.log = new RequestLog(this.settings.rememberedRequests);
    const { now, timeScale, random, healthIntervalMs } = this.settings;
    this.#monitor = new HealthMonitor(now, healthIntervalMs, "healthy");
    this.health = options.health ?? "healthy";
    this.faults = new FaultSwitches(random, options.faults ?? []);
    this.ranks = Array.from({ length: options.ranks ?? 1 }, () => {
      const model = new EngineModel(this.params);
      return { model, driver: new EngineDriver(model, now, timeScale) };
    });
  }

  /** The rank that takes this session. */
  rankOf(session: number): Rank {
    const rank = this.ranks[session % this.ranks.length];
    if (rank === undefined) throw new Error("an engine has at least one rank");
    return rank;
  }

  /** Ends the request that its client gave this number; `false` if there is none. */
  abort(chosenSession: number): boolean {
    const session = this.sessions.find(chosenSession);
    return session !== null && this.rankOf(session).driver.cancelById(String(session));
  }

  abortAll(): void {
    for (const { driver } of this.ranks) driver.cancelAll();
  }

  /** What `/health` says. Set, it says so from now on, and `sleeping` is asleep. */
  get health(): EngineHealth {
    return this.#monitor.shown;
  }

  set health(health: EngineHealth) {
    this.#monitor.show(health);
    if (health === "sleeping") for (const tag of SLEEPING_TAGS) this.#asleep.add(tag);
    else this.#rouse(SLEEPING_TAGS);
  }

  get isSleeping(): boolean {
    return this.#asleep.size > 0;
  }

  /** Gives up what runs; `/health` hears of it in its own time. */
  sleep(): void {
    this.abortAll();
    for (const tag of SLEEPING_TAGS) this.#asleep.add(tag);
    this.#monitor.notice("sleeping");
  }

  /** Wakes what `tags` name, all without them. */
  wake(tags: readonly string[]): void {
    this.#rouse(tags.length === 0 ? SLEEPING_TAGS : tags);
    if (!this.isSleeping) this.#monitor.notice("healthy");
  }

  #rouse(tags: readonly string[]): void {
    for (const tag of tags) this.#asleep.delete(tag);
    if (this.isSleeping) return;
    this.#whenAwake.resolve();
    this.#whenAwake = Promise.withResolvers();
  }

  /** Resolves when it is awake. */
  async whenAwake(): Promise<void> {
    if (this.isSleeping) await this.#whenAwake.promise;
  }

  /** As `RunningEngine.setPace`. */
  setPace(factor: number): void {
    // The gauges as they are now are the last ones for an engine that stands still.
    if (factor === 0) this.metricsText();
    this.#pace = factor;
    for (const { driver } of this.ranks) driver.setPace(factor);
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** The process that computes is gone; the one that answers HTTP is not. */
  die(): void {
    this.metricsText();
    this.#isDead = true;
    this.health = "unhealthy";
    for (const { driver } of this.ranks) driver.failAll();
  }

  /** A client has left while it waited for a place. */
  loseWaiting(): void {
    this.#lostWaiting += 1;
  }

  /** Figures of all ranks, one entry each. */
  stats(): readonly ModelStats[] {
    return this.ranks.map((rank) => rank.model.stats());
  }

  metricsSource(): MetricsSource {
    return {
      settings: this.settings,
      model: this.models[0] ?? "",
      places: this.params.maxBatchSize,
      lostWaiting: this.#lostWaiting,
      isSleeping: this.isSleeping,
      hasPrefixCache: this.params.prefixCache,
      succeeded: this.log.ends.completed,
      failed: this.log.ends.failed + this.log.ends.cancelled,
      stats: this.stats(),
    };
  }

  /** `/metrics` as it was when last taken: the figures age until the refresh interval is over. */
  metricsText(): string {
    const { now, metricsRefreshMs } = this.settings;
    const isFrozen = this.#pace === 0 || this.#isDead;
    if (!isFrozen && now() - this.#metrics.takenAtMs >= metricsRefreshMs) {
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
      running: sum((one) => one.running),
      waiting: sum((one) => one.waiting),
      totalBlocks,
      usedBlocks,
      cachedBlocks,
      usage: (usedBlocks + cachedBlocks) / totalBlocks,
      preservedSessions: sum((one) => one.preservedRequests),
      preservedBlocks: sum((one) => one.preservedBlocks),
      connectedPeers: this.peers.connectedIds,
      ...this.log.state(),
    };
  }
}
