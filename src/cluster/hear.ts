/** What a worker makes of what the control plane tells it: nodes as that knows them. */
import type { SourceId } from "../core/pool/naming.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { Finding } from "../core/pool/words.ts";
import type { News, NodeNews } from "./messages.ts";

const CONTROL: SourceId = { name: "control", rank: 0 };

export class Hearer {
  readonly #registry: Registry;
  readonly #now: () => number;
  readonly #queues = new Map<string, number>();
  readonly #nodes = new Map<string, NodeNews>();
  /** While it is true, what happens to nodes is no news to the control plane. */
  #isHearing = false;

  /** @param now Monotonic clock, ms. */
  constructor(registry: Registry, now: () => number) {
    this.#registry = registry;
    this.#now = now;
  }

  get isHearing(): boolean {
    return this.#isHearing;
  }

  /** The number of the queue for `model`; null when it has none. Any model will do in the first. */
  queueOf(model: string | null): number | null {
    return model === null ? 0 : (this.#queues.get(model) ?? null);
  }

  /** How many there are. */
  get queues(): number {
    return 1 + this.#queues.size;
  }

  hear(news: News): void {
    this.#isHearing = true;
    try {
      this.#hear(news);
    } finally {
      this.#isHearing = false;
    }
  }

  #hear(news: News): void {
    const { membership } = this.#registry;
    if (news.is === "nodes") {
      for (const [model, number] of news.queues) this.#queues.set(model, number);
      for (const url of news.gone) this.#nodes.delete(url);
      for (const node of news.nodes) this.#nodes.set(node.url, node);
      membership.says(CONTROL, [...this.#nodes.values()]);
      for (const { url, isVouchedFor } of news.nodes) {
        const node = this.#registry.get(url);
        if (node !== undefined) node.registeredIn = isVouchedFor ? node.generation : null;
      }
      return;
    }
    const node = this.#registry.get(news.url);
    if (node === undefined) return;
    if (news.is === "renewed") membership.renewed(node);
    else if (news.is === "found") this.#found(node, news.finding, news.ageMs);
    else if (news.cards === null) membership.discovered(node, news.models);
    else membership.listed(node, news.cards);
  }

  #found(node: Node, finding: Finding, ageMs: number): void {
    const { learning } = this.#registry;
    switch (finding.found) {
      case "probed":
        learning.probed(node, finding.result, finding.progressed);
        break;
      case "sampled":
        learning.sampled(node, finding.sample, finding.engine, this.#now() - ageMs);
        break;
      case "asleep":
        learning.foundAsleep(node, finding.asleep);
        break;
      case "told":
        learning.told(node, finding.what);
        break;
      case "aborted":
        learning.aborted(node);
        break;
      case "doubted":
        learning.doubted(node, finding.why, finding.reason);
        break;
      case "cleared":
        learning.cleared(node);
        break;
      default:
        finding satisfies never;
    }
  }
}
