/**
 * A node beside its peers, those that serve the same model in the same role. What is long, slow or
 * a refusal in itself says nothing of an engine: prompts and answers differ by a factor of ten
 * thousand. What peers make of the like at the same time does.
 *
 * Envoy's outlier detection compares rates of success, HAProxy and linkerd count failures in a row:
 * all of them look at requests that have ended. A hung engine ends none, so here what is still
 * silent counts by its age (`peer-times.ts`).
 */
import type { ModelIndex } from "./model-index.ts";
import type { Node } from "./node.ts";
import { PeerTimes } from "./peer-times.ts";

/** A node that was out for short answers is back after so many more when that is as likely as this with its peers. */
const SHORT_TRIALS = 6;
const LIKELY = 0.3;

export class Peers {
  /** How long they take. */
  readonly times = new PeerTimes((node) => this.of(node));
  readonly #index: ModelIndex;

  constructor(index: ModelIndex) {
    this.#index = index;
  }

  /** The other nodes that serve what `node` serves. */
  of(node: Node): Node[] {
    const [model = null] = node.models;
    return this.#index.serving(model, node.role).filter((peer) => peer !== node);
  }

  /** Whether so few of a model's nodes are out for their conduct that `node` may be, too: half at most. */
  mayGo(node: Node): boolean {
    const models = node.models.length > 0 ? node.models : [null];
    return models.every((model) => {
      const all = this.#index.serving(model, node.role);
      const out = all.filter((one) => one !== node && one.health.outForConduct).length;
      return (out + 1) * 2 <= all.length;
    });
  }

  /** Whether any of its peers has answered `client` well since `sinceMs`. */
  serve(node: Node, client: string, sinceMs: number): boolean {
    return this.of(node).some(({ conduct }) => conduct.answers.servedSince(sinceMs, client));
  }

  /** Whether its last answers are short since hardly any request asks for another, as its peers' show. */
  areAllShort(node: Node, nowMs: number): boolean {
    const { row } = node.conduct.lengths;
    return row >= SHORT_TRIALS && this.shortShare(node, nowMs) ** row > LIKELY;
  }

  /** How many of its peers' last answers are short, 0 to 1; 0 when nothing is known. */
  shortShare(node: Node, nowMs: number): number {
    let short = 0;
    let long = 0;
    for (const { conduct } of this.of(node)) {
      short += conduct.lengths.lately("short", nowMs);
      long += conduct.lengths.lately("long", nowMs);
    }
    return short === 0 ? 0 : short / (short + long);
  }
}
