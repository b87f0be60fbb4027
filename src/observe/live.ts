import type { Clock } from "../core/clock.ts";
import type { Role } from "../core/engine/roles.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { History, type Step } from "./history.ts";
import type { LiveFacts } from "./live-facts.ts";
import {
  type About,
  type Frame,
  NODE_SERIES,
  NOTHING,
  STEP_MS,
  type TableChange,
  type TableName,
  type Totals,
} from "./live-frame.ts";
import { drawLevels, levelOf } from "./live-levels.ts";
import { modelCells, nodeCells, URGENT } from "./live-rows.ts";
import { type Row, TableChanges } from "./table-changes.ts";

export interface LiveOptions {
  readonly registry: Registry;
  readonly clock: Pick<Clock, "now" | "wallMs" | "every">;
  readonly about: Omit<About, "epochMs" | "freshMs"> & { readonly needed: readonly Role[] };
  /** How often engines' gauges are read, ms. */
  readonly metricsIntervalMs: number;
  /** What is known by requests, in times of this process' clock. */
  readonly facts: () => LiveFacts;
  /** Asks other processes for what `facts` knows; must not reject. Left out: there are none. */
  readonly refresh?: (() => Promise<void>) | undefined;
  /** Since when a node has been in its state, ms. */
  readonly sinceMs: (node: Node) => number;
  /** DistServe's figures of a node. */
  readonly pairsOf: (node: Node) => { readonly pairs: number; readonly openSessions: number };
}

/** Somebody who looks at the page. Neither call may throw. */
export interface Watcher {
  /** Gets a frame: a line of JSON, its end included. */
  tell(line: string): void;
  /** Gets nothing any more. */
  end(): void;
}

/** How often watchers are told what changed, ms. */
const TELL_MS = 1_000;
/**
 * What may be told at a time beside what is urgent, characters: of the nodes, and of each of the other
 * tables. With many busy nodes each is told a little later.
 */
const ROOM = { nodes: 300, requests: 100, failures: 250, models: 100 } as const;
const MOST_WATCHERS = 32;
/** The levels of a node that has nothing to do. */
const QUIET = NODE_SERIES.map((name) => levelOf(name === "firstByteMs" ? NOTHING : 0)).join();

/**
 * What the live page shows. While somebody looks, all are told the same once a second: what changed,
 * within bounds. While nobody looks, nothing but the history is kept.
 */
export class Live {
  readonly #options: LiveOptions;
  readonly #history: History;
  readonly #watchers = new Set<Watcher>();
  readonly #keys = new WeakMap<object, number>();
  #lastKey = 0;
  #modelKeys: ReadonlyMap<string, number> = new Map();
  #tables = tables();
  #totals: Partial<Totals> = {};
  #steppedAtMs: number;
  #isRefreshing = false;
  #stop: (() => void) | null = null;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#history = new History(options.registry);
    this.#steppedAtMs = options.clock.now();
  }

  start(): void {
    this.#stop = this.#options.clock.every(TELL_MS, () => this.#turn());
  }

  /** Everybody who looks is sent away. */
  stop(): void {
    this.#stop?.();
    this.#stop = null;
    for (const watcher of this.#watchers) watcher.end();
    this.#watchers.clear();
  }

  /** Whether one more may look. */
  get hasRoom(): boolean {
    return this.#stop !== null && this.#watchers.size < MOST_WATCHERS;
  }

  /** Tells `watcher` all there is, and then what changes; the function returned ends that. Null without room. */
  watch(watcher: Watcher): (() => void) | null {
    if (!this.hasRoom) return null;
    if (this.#watchers.size === 0) this.#begin();
    this.#watchers.add(watcher);
    watcher.tell(line(this.#whole()));
    return () => this.#watchers.delete(watcher);
  }

  /** Nobody has been told anything yet. */
  #begin(): void {
    this.#tables = tables();
    this.#totals = {};
    this.#changes(this.#options.facts(), Number.POSITIVE_INFINITY);
  }

  /** Resolves when it is known what other processes know; must be waited for before the first one looks. */
  async refresh(): Promise<void> {
    await this.#options.refresh?.();
  }

  #turn(): void {
    const { clock, refresh } = this.#options;
    const isStep = clock.now() - this.#steppedAtMs >= STEP_MS - TELL_MS / 2;
    if (this.#watchers.size === 0 && !isStep) return;
    if (refresh === undefined) this.#tell();
    else if (!this.#isRefreshing) {
      this.#isRefreshing = true;
      void refresh().then(() => {
        this.#isRefreshing = false;
        if (this.#stop !== null) this.#tell();
      });
    }
  }

  #tell(): void {
    const nowMs = this.#options.clock.now();
    const facts = this.#options.facts();
    const isStep = nowMs - this.#steppedAtMs >= STEP_MS - TELL_MS / 2;
    const step = isStep ? this.#history.step(facts) : null;
    if (step !== null) this.#steppedAtMs = nowMs;
    if (this.#watchers.size === 0) return;
    const text = line({
      t: Math.round(nowMs),
      ...this.#changes(facts, 1),
      ...(step !== null && { step: this.#drawStep(step) }),
    });
    for (const watcher of this.#watchers) watcher.tell(text);
  }

  /** What is new since it was told last. @param rooms How many times the usual room there is. */
  #changes(facts: LiveFacts, rooms: number): Partial<Frame> {
    const { registry, about } = this.#options;
    const models = modelCells(registry, about.needed, new Map(facts.byModel));
    this.#modelKeys = new Map(
      [...models.keys()].map((name) => [name, this.#modelKeys.get(name) ?? this.#newKey()]),
    );
    const rows: Readonly<Record<TableName, readonly Row[]>> = {
      nodes: this.#nodeRows(facts),
      requests: facts.oldest,
      failures: facts.failures,
      models: [...models].map(([name, cells]) => [this.#modelKeys.get(name) ?? 0, cells]),
    };
    const next = (name: TableName) => this.#tables[name].next(rows[name], rooms * ROOM[name]);
    const changes = { nodes: next("nodes"), requests: next("requests") };
    const others = { failures: next("failures"), models: next("models") };
    return { ...this.#changedTotals(facts), ...given(changes), ...given(others) };
  }

  #nodeRows({ nodes }: LiveFacts): Row[] {
    const { registry, clock, sinceMs, pairsOf } = this.#options;
    const nowMs = clock.now();
    const shares = this.#history.shares();
    const facts = new Map(nodes.map((one) => [one.url, one]));
    return registry.nodes().map((node) => {
      const { oldestMs = null, figures = null } = facts.get(node.url) ?? {};
      const beside = {
        sinceMs: sinceMs(node),
        oldestMs,
        figures,
        share: shares.get(node) ?? 0,
        mostInFlight: this.#history.mostInFlight(node),
        ...pairsOf(node),
      };
      return [this.#keyOf(node), nodeCells(node, nowMs, this.#freshMs, beside)];
    });
  }

  #changedTotals(facts: LiveFacts): { readonly totals?: Partial<Totals> } {
    const { open, waiting, leaving } = facts;
    const now: Totals = { open, waiting, leaving: leaving ? 1 : 0 };
    const before = this.#totals;
    this.#totals = now;
    const changed = {
      ...(now.open !== before.open && { open: now.open }),
      ...(now.waiting !== before.waiting && { waiting: now.waiting }),
      ...(now.leaving !== before.leaving && { leaving: now.leaving }),
    };
    return Object.keys(changed).length > 0 ? { totals: changed } : {};
  }

  /** All that has been told, for somebody new: what comes next changes that. */
  #whole(): Frame {
    const { clock, registry, about } = this.#options;
    const nowMs = clock.now();
    const nodes = registry.nodes().flatMap((node) => {
      const series = this.#history.of(node);
      return series === null ? [] : [[this.#keyOf(node), ...series.map(drawLevels)] as const];
    });
    const { requests, failures, models } = this.#tables;
    return {
      t: Math.round(nowMs),
      about: {
        ...about,
        freshMs: this.#freshMs,
        epochMs: Math.round(clock.wallMs() - nowMs),
      },
      totals: this.#totals,
      nodes: this.#tables.nodes.whole(),
      requests: requests.whole(),
      failures: failures.whole(),
      models: models.whole(),
      past: { totals: this.#history.totals, nodes },
    };
  }

  #drawStep({ totals, nodes }: Step): NonNullable<Frame["step"]> {
    const byKey = nodes.map(([node, levels]) => [this.#keyOf(node), levels] as const);
    byKey.sort(([a], [b]) => a - b);
    const isQuiet = byKey.every(([, levels]) => levels.join() === QUIET);
    return {
      totals,
      ...(!isQuiet && { nodes: drawLevels(byKey.flatMap(([, levels]) => levels)) }),
    };
  }

  get #freshMs(): number {
    return 2 * this.#options.metricsIntervalMs;
  }

  /** A number that nothing else ever gets. */
  #keyOf(one: object): number {
    const key = this.#keys.get(one) ?? this.#newKey();
    this.#keys.set(one, key);
    return key;
  }

  #newKey(): number {
    this.#lastKey += 1;
    return this.#lastKey;
  }
}

function tables(): Readonly<Record<TableName, TableChanges>> {
  return {
    nodes: new TableChanges({ urgent: URGENT, urgentRows: true }),
    requests: new TableChanges({ urgent: [] }),
    failures: new TableChanges(),
    models: new TableChanges(),
  };
}

function given(changes: Partial<Record<TableName, TableChange | null>>): Partial<Frame> {
  return Object.fromEntries(Object.entries(changes).filter(([, change]) => change !== null));
}

function line(frame: Frame): string {
  return `${JSON.stringify(frame)}\n`;
}
