import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { LiveFacts, NodeFacts } from "./live-facts.ts";
import { NODE_SERIES, NOTHING, STEPS, TOTAL_SERIES } from "./live-frame.ts";
import { levelOf } from "./live-levels.ts";

/** The last steps of some series, each in a fixed array: as much memory at the start as after a year. */
class Series<Values extends Float32Array | Uint8Array> {
  readonly #values: readonly Values[];
  readonly #nothing: number;
  #next = 0;

  /** @param make Makes the array of one series. @param nothing What stands where there was no step. */
  constructor(count: number, make: () => Values, nothing: number) {
    this.#values = Array.from({ length: count }, () => make());
    this.#nothing = nothing;
    for (const series of this.#values) series.fill(nothing);
  }

  /** One more step: a value for each series. */
  push(values: readonly number[]): void {
    for (const [at, series] of this.#values.entries()) {
      series[this.#next] = values[at] ?? this.#nothing;
    }
    this.#next = (this.#next + 1) % STEPS;
  }

  /** All steps of each series, oldest first. */
  all(): number[][] {
    return this.#values.map((series) => [
      ...series.subarray(this.#next),
      ...series.subarray(0, this.#next),
    ]);
  }
}

const valueSeries = () => new Series(TOTAL_SERIES.length, () => new Float32Array(STEPS), NOTHING);
const levelSeries = () =>
  new Series(NODE_SERIES.length, () => new Uint8Array(STEPS), levelOf(NOTHING));

/** What has been counted of a node so far. */
type Counted = Pick<NodeFacts, "attempts" | "firstBytes" | "firstByteS">;

const NOTHING_YET: Counted = { attempts: 0, firstBytes: 0, firstByteS: 0 };

interface NodeHistory {
  /** Levels: what is drawn of a node is a line. */
  readonly series: Series<Uint8Array>;
  /** Of the last steps. */
  readonly attempts: number[];
  readonly inFlight: number[];
  counted: Counted;
}

/** For so many steps an engine's gauges may still show what was in flight. */
const GAUGE_STEPS = 3;
/** So many steps count for a node's share of the traffic: a minute. */
const SHARE_STEPS = 6;

/** A step as it is told: of all together, and the levels of each node. */
export interface Step {
  readonly totals: readonly number[];
  readonly nodes: readonly (readonly [node: Node, levels: readonly number[]])[];
}

/**
 * Fifteen minutes of every node and of all together, 10 s a step: what was counted elsewhere, and how
 * much of it was new at each step. A node takes 300 B; one that is removed takes nothing.
 */
export class History {
  readonly #registry: Registry;
  readonly #totals = valueSeries();
  readonly #nodes = new Map<Node, NodeHistory>();
  #requests = 0;
  #failed = 0;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** Ends a step, and tells what it was like. */
  step({ nodes: facts, open, requests, failed }: LiveFacts): Step {
    const countedOf = new Map(facts.map((one) => [one.url, one]));
    const known = this.#registry.nodes();
    const there = new Set(known);
    for (const node of this.#nodes.keys()) if (!there.has(node)) this.#nodes.delete(node);
    let firstBytes = 0;
    let firstByteS = 0;
    const nodes = known.map((node) => {
      const history = this.#of(node);
      const before = history.counted;
      const counted = countedOf.get(node.url) ?? before;
      history.counted = counted;
      const attempts = counted.attempts - before.attempts;
      const began = counted.firstBytes - before.firstBytes;
      const tookS = counted.firstByteS - before.firstByteS;
      firstBytes += began;
      firstByteS += tookS;
      const levels = [node.inFlight, meanMs(tookS, began), attempts].map(levelOf);
      history.series.push(levels);
      keepLast(history.attempts, attempts, SHARE_STEPS);
      keepLast(history.inFlight, node.inFlight, GAUGE_STEPS);
      return [node, levels] as const;
    });
    const totals = [
      open,
      requests - this.#requests,
      failed - this.#failed,
      meanMs(firstByteS, firstBytes),
    ];
    this.#requests = requests;
    this.#failed = failed;
    this.#totals.push(totals);
    return { totals, nodes };
  }

  /** All steps of all together, oldest first. */
  get totals(): number[][] {
    return this.#totals.all();
  }

  /** The levels of a node at all steps, oldest first; null for one that has had none. */
  of(node: Node): number[][] | null {
    return this.#nodes.get(node)?.series.all() ?? null;
  }

  /** The most a node had in flight, now or at the end of the last steps. */
  mostInFlight(node: Node): number {
    const lately = this.#nodes.get(node)?.inFlight ?? [];
    return Math.max(node.inFlight, ...lately);
  }

  /** Whole percent of the attempts of the last minute that each node had. */
  shares(): ReadonlyMap<Node, number> {
    const attempts = [...this.#nodes].map(
      ([node, history]) => [node, history.attempts.reduce((sum, one) => sum + one, 0)] as const,
    );
    const all = attempts.reduce((sum, [, one]) => sum + one, 0);
    return new Map(
      attempts.map(([node, one]) => [node, all === 0 ? 0 : Math.round((100 * one) / all)]),
    );
  }

  #of(node: Node): NodeHistory {
    let history = this.#nodes.get(node);
    if (history === undefined) {
      history = {
        series: levelSeries(),
        attempts: [],
        inFlight: [],
        counted: NOTHING_YET,
      };
      this.#nodes.set(node, history);
    }
    return history;
  }
}

function keepLast(values: number[], value: number, most: number): void {
  values.push(value);
  if (values.length > most) values.shift();
}

/** Whole ms, to two digits that mean something. */
function meanMs(totalS: number, count: number): number {
  return count <= 0 ? NOTHING : Math.round(Number(((1_000 * totalS) / count).toPrecision(2)));
}
