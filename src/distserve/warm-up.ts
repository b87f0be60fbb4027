import type { Role } from "../core/engine/roles.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { PairReport, Pairs } from "./pairs.ts";

export interface WarmUpOptions {
  readonly registry: Registry;
  readonly pairs: Pairs;
  /** Whether a node's pairs are connected when it becomes healthy. */
  readonly onJoin: boolean;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
}

interface Couple {
  readonly prefill: Node;
  readonly decode: Node;
}

/** Handshakes under way at a time: each registers memory on two engines. */
const MOST_AT_ONCE = 8;
/** Who asks for the warm-up gets to know how far it has come after this at the latest, ms. */
const LONGEST_REPORT_MS = 30_000;

/** Connects pairs before a request needs them, a few at a time. */
export class WarmUp {
  readonly #options: WarmUpOptions;
  readonly #waiting: (() => Promise<unknown>)[] = [];
  #underWay = 0;

  constructor(options: WarmUpOptions) {
    this.#options = options;
  }

  /** Connects a node that joined, or came back, with all that it can be paired with. */
  joined(node: Node): void {
    if (!this.#options.onJoin) return;
    for (const { prefill, decode } of this.#couplesOf(node)) {
      if (!isUp(prefill) || !isUp(decode)) continue;
      void this.#inTurn(() => this.#options.pairs.connect(prefill, decode));
    }
  }

  /** Connects every pair; tells how they are when the last is done, or after half a minute. */
  async all(): Promise<PairReport[]> {
    const { pairs, after } = this.#options;
    const couples = this.#couples();
    const settled = couples.map(({ prefill, decode }) =>
      // Nobody waits for all the tries to connect an engine that is not there.
      this.#inTurn(() =>
        isUp(prefill) && isUp(decode)
          ? pairs.settled(prefill, decode)
          : pairs.connect(prefill, decode),
      ),
    );
    const { promise: isOver, resolve } = Promise.withResolvers<void>();
    const stop = after(LONGEST_REPORT_MS, resolve);
    await Promise.race([Promise.all(settled), isOver]);
    stop();
    return couples.map(({ prefill, decode }) => pairs.report(prefill, decode));
  }

  /** Every prefill node with every decode node that might serve the same model. */
  #couples(): Couple[] {
    return this.#staying("Prefill").flatMap((prefill) => this.#couplesOf(prefill));
  }

  /** A node with all that it might serve a model with. */
  #couplesOf(node: Node): Couple[] {
    if (node.role === "Prefill") {
      return this.#mayServeWith(node, "Decode").map((decode) => ({ prefill: node, decode }));
    }
    if (node.role !== "Decode") return [];
    return this.#mayServeWith(node, "Prefill").map((prefill) => ({ prefill, decode: node }));
  }

  /**
   * The nodes of `role` that might serve a model of `node`; models that are not known yet may turn out to be the
   * same. Looked up by model: nodes may have thousands, and none of them shared.
   */
  #mayServeWith(node: Node, role: Role): Node[] {
    const { registry } = this.#options;
    const all = this.#staying(role);
    if (node.models.length === 0) return all;
    const { length: most } = registry.serving(null, role);
    const found = new Set<Node>();
    for (const model of node.models) {
      if (found.size === most) break;
      for (const other of registry.serving(model, role)) found.add(other);
    }
    return all.filter((other) => other.models.length === 0 || found.has(other));
  }

  #staying(role: Role): Node[] {
    const nodes = this.#options.registry.serving(null, role);
    return nodes.filter(({ health }) => health.state !== "draining");
  }

  #inTurn(act: () => Promise<unknown>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(() => act().then(() => resolve()));
    this.#advance();
    return promise;
  }

  #advance(): void {
    while (this.#underWay < MOST_AT_ONCE) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#underWay += 1;
      void next().finally(() => {
        this.#underWay -= 1;
        this.#advance();
      });
    }
  }
}

function isUp({ health }: Node): boolean {
  return health.state === "healthy";
}
