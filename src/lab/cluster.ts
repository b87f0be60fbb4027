import { neededBy } from "../core/knowledge/needed.ts";
import type { PromptKnowledge } from "../core/knowledge/prompt-knowledge.ts";
import type { KeptSessions } from "../core/knowledge/sessions.ts";
import type { Wanted } from "../core/pool/choose.ts";
import { type Elsewhere, NOBODY_ELSE } from "../core/pool/elsewhere.ts";
import { Lease, type Outcome } from "../core/pool/lease.ts";
import type { Node, Registration } from "../core/pool/node.ts";
import { Registry } from "../core/pool/registry.ts";
import { STRATEGIES, type StrategyName } from "../core/strategies/index.ts";
import { NOTHING_ASKED, type Strategy } from "../core/strategies/strategy.ts";
import { seededRandom } from "../sim/model/seeded-random.ts";
import { VirtualTime } from "./virtual-time.ts";

/** The model that everything here serves and asks for, unless told otherwise. */
export const MODEL = "m";

export const OK: Outcome = { kind: "answered", status: 200 };
export const REFUSED: Outcome = { kind: "refused", detail: "no connection" };
export const UNREACHABLE: Outcome = { kind: "unreachable", detail: "no route" };
export const LOST: Outcome = { kind: "lost", detail: "connection lost" };
export const TIMEOUT: Outcome = { kind: "timeout", detail: "too slow" };
export const CANCELLED: Outcome = { kind: "cancelled" };

export function answered(status: number, retryAfterMs: number | null = null): Outcome {
  return { kind: "answered", status, retryAfterMs };
}

/** As `--session-timeout` has it. */
export const SESSION_TIMEOUT_MS = 7_200_000;

interface ClusterOptions {
  /** How many nodes stand ready, n0, n1, …, all fully brought in. */
  readonly nodes?: number;
  readonly strategy?: StrategyName | Strategy;
  readonly maxInFlightPerNode?: number;
  readonly seed?: number;
  /** Left out: nobody else sends to the nodes. */
  readonly elsewhere?: Elsewhere;
  /** Keeps sessions where the strategy wants them kept; left out: this process alone. */
  readonly sessions?: (now: () => number) => KeptSessions;
}

/** A registry in virtual time, with nodes that are healthy already. */
export class Cluster {
  readonly time = new VirtualTime();
  readonly random: () => number;
  readonly registry: Registry;
  /** Null unless the strategy keeps them. */
  readonly sessions: KeptSessions | null;
  /** Null unless the strategy needs it. */
  readonly prompts: PromptKnowledge | null;
  /** What listeners threw; whoever lets them should look. */
  readonly listenerErrors: unknown[] = [];

  constructor({
    nodes = 0,
    strategy = "min_expected_latency",
    maxInFlightPerNode,
    seed = 1,
    elsewhere = NOBODY_ELSE,
    sessions,
  }: ClusterOptions = {}) {
    const chosen: Strategy = typeof strategy === "string" ? STRATEGIES[strategy] : strategy;
    this.random = seededRandom(seed);
    const needed = neededBy(
      new Set(chosen.needs),
      this.time.now,
      SESSION_TIMEOUT_MS,
      sessions?.(this.time.now),
    );
    this.sessions = needed.sessions;
    this.prompts = needed.prompts;
    this.registry = new Registry({
      now: this.time.now,
      onListenerError: (error) => this.listenerErrors.push(error),
      random: this.random,
      strategy: () => chosen,
      knowledge: needed.knowledge,
      elsewhere,
      sampleMaxAgeMs: 15_000,
      maxInFlightPerNode: maxInFlightPerNode ?? Number.POSITIVE_INFINITY,
    });
    for (let i = 0; i < nodes; i += 1) this.join(`n${i}`);
    this.warmUp();
  }

  /** Registers a node whose first probe passes. */
  join(name: string, registration: Partial<Registration> = {}): Node {
    const node = this.register(name, registration);
    this.registry.learning.probed(node, { kind: "ok" }, false);
    return node;
  }

  register(name: string, registration: Partial<Registration> = {}): Node {
    const all = { models: [MODEL], role: "Hybrid", speed: null, ...registration } as const;
    return this.registry.membership.register(`http://${name}`, all);
  }

  /** Lets so much time pass that all healthy nodes are fully brought in. */
  warmUp(): void {
    this.time.advance(10_000);
  }

  node(name: string): Node {
    const node = this.registry.get(`http://${name}`);
    if (node === undefined) throw new Error(`${name} is not registered`);
    return node;
  }

  acquire(wanted: Partial<Wanted> = {}) {
    return this.registry.acquire({
      model: MODEL,
      role: "Hybrid",
      asked: NOTHING_ASKED,
      tried: new Set(),
      ...wanted,
    });
  }

  /** Acquires a node, whichever. */
  lease(wanted: Partial<Wanted> = {}): Lease {
    const lease = this.acquire(wanted);
    if (lease instanceof Lease) return lease;
    throw new Error(`no node: ${lease}`);
  }

  /** A request that goes to `node` and no other. */
  leaseOn(node: Node): Lease {
    const others = this.registry.nodes().filter((other) => other !== node);
    const lease = this.lease({ tried: new Set(others) });
    if (lease.node !== node) throw new Error(`got ${lease.node.url}`);
    return lease;
  }

  /** One request on `node` that ends with `outcome` at once. */
  send(node: Node, outcome: Outcome): void {
    this.leaseOn(node).end(outcome);
  }

  refuse(node: Node): void {
    this.registry.learning.probed(node, { kind: "refused", detail: "no connection" }, false);
  }

  pass(node: Node): void {
    this.registry.learning.probed(node, { kind: "ok" }, false);
  }

  /**
   * What happens to `node`, in words: a probe finds `ok`, `refused`, `unreachable`, `timeout` or
   * `timeout+` (with byte progress); a request ends as `request:lost`, `request:refused`,
   * `request:unreachable` or with a status, `request:500`; or `register`, `drain`, `remove`.
   */
  play(node: Node, words: string): void {
    for (const word of words.split(" ")) {
      const [what, how = ""] = word.split(":");
      if (what === "request") this.send(node, requestEnd(how));
      else this.#event(node, word);
    }
  }

  #event(node: Node, word: string): void {
    const { registry } = this;
    const detail = "no answer";
    const events: Readonly<Record<string, () => void>> = {
      ok: () => this.pass(node),
      refused: () => this.refuse(node),
      unreachable: () => registry.learning.probed(node, { kind: "unreachable", detail }, false),
      timeout: () => registry.learning.probed(node, { kind: "timeout", detail }, false),
      "timeout+": () => registry.learning.probed(node, { kind: "timeout", detail }, true),
      register: () => this.register(node.url.slice("http://".length)),
      drain: () => registry.membership.drain(node.url),
      remove: () => registry.membership.remove(node.url),
    };
    const event = events[word];
    if (event === undefined) throw new Error(`no such event: ${word}`);
    event();
  }
}

function requestEnd(how: string): Outcome {
  if (how === "lost") return LOST;
  if (how === "refused") return REFUSED;
  if (how === "unreachable") return UNREACHABLE;
  return answered(Number(how));
}
