/** What the control plane tells workers: what it knows when they begin, and then every change. */
import type { ModelCard } from "../core/engine/model-list.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { Finding, Word } from "../core/pool/words.ts";
import type { News, NodeNews } from "./messages.ts";
import { MOST_QUEUES } from "./table.ts";

interface Told {
  readonly cards: ReadonlyMap<string, ModelCard>;
  readonly models: readonly string[];
}

export class Teller {
  readonly #registry: Registry;
  readonly #now: () => number;
  readonly #send: (news: News) => void;
  readonly #told = new WeakMap<Node, Told>();
  /** The last probe of each node, which says why one is out. */
  readonly #probed = new WeakMap<Node, Finding>();
  readonly #doubted = new WeakMap<Node, Finding>();
  /** Each model has the number of its queue for as long as the proxy runs; 0 is for those that name none. */
  readonly #queues = new Map<string, number>();
  /** What was told of each node last, in one string. */
  readonly #nodes = new Map<string, string>();

  /** @param now Monotonic clock, ms. */
  constructor(registry: Registry, now: () => number, send: (news: News) => void) {
    this.#registry = registry;
    this.#now = now;
    this.#send = send;
  }

  start(): () => void {
    return this.#registry.subscribe({
      membershipChanged: () => {
        this.#tellNodes();
        this.tellModels();
      },
      stateChanged: (_, from, to) => {
        if (from === "draining" || to === "draining") this.#tellNodes();
      },
      nodeRestarted: ({ url }, by) => {
        if (by === "registered") this.#send({ is: "renewed", url });
      },
      said: (word) => this.#said(word),
    });
  }

  /** Tells of lists that were read anew, also of those that name the same models. */
  tellModels(): void {
    for (const node of this.#registry.nodes()) {
      const told = this.#told.get(node);
      if (told?.cards === node.cards && told.models === node.discoveredModels) continue;
      this.#told.set(node, { cards: node.cards, models: node.discoveredModels });
      this.#send(modelsOf(node));
    }
  }

  /** Everything, for a worker that begins. */
  all(): News[] {
    const nodes = this.#registry.nodes();
    const named = nodes.map(newsOf);
    const first = { is: "nodes", nodes: named, gone: [], queues: [...this.#queues] } as const;
    return [first, ...nodes.map(modelsOf), ...nodes.flatMap((node) => this.#known(node))];
  }

  /** Tells what is other than at the last time. */
  #tellNodes(): void {
    const nodes = this.#registry.nodes().map(newsOf);
    const urls = new Set(nodes.map(({ url }) => url));
    const gone = [...this.#nodes.keys()].filter((url) => !urls.has(url));
    for (const url of gone) this.#nodes.delete(url);
    const changed = nodes.filter((node) => {
      const text = JSON.stringify(node);
      const isNews = this.#nodes.get(node.url) !== text;
      this.#nodes.set(node.url, text);
      return isNews;
    });
    this.#send({ is: "nodes", nodes: changed, gone, queues: this.#newQueues() });
  }

  #newQueues(): [string, number][] {
    const fresh: [string, number][] = [];
    for (const model of this.#registry.models()) {
      const number = this.#queues.size + 1;
      if (this.#queues.has(model) || number >= MOST_QUEUES) continue;
      this.#queues.set(model, number);
      fresh.push([model, number]);
    }
    return fresh;
  }

  #said({ node, ...finding }: Word): void {
    if (finding.found === "probed") this.#probed.set(node, finding);
    if (finding.found === "doubted") this.#doubted.set(node, finding);
    const ageMs = finding.found === "sampled" ? this.#now() - finding.askedAtMs : 0;
    this.#send({ is: "found", url: node.url, finding, ageMs });
  }

  /** What was found of a node, as far as it still counts. */
  #known(node: Node): News[] {
    const { cache, engine, health, url } = node;
    const of = (finding: Finding | undefined, ageMs = 0): News[] =>
      finding === undefined ? [] : [{ is: "found", url, finding, ageMs }];
    const ageMs = cache.ageMs(this.#now());
    const { sample } = cache;
    const sampled =
      sample === null || ageMs === null
        ? []
        : of({ found: "sampled", sample, engine, askedAtMs: 0 }, ageMs);
    const probed = (kind: "ok" | "sleeping") =>
      of({ found: "probed", result: { kind }, progressed: false });
    if (health.alive) return [...sampled, ...probed("ok")];
    if (health.doubt !== null) return [...sampled, ...probed("ok"), ...of(this.#doubted.get(node))];
    if (health.state === "sleeping") return [...sampled, ...probed("sleeping")];
    return [...sampled, ...of(this.#probed.get(node))];
  }
}

function newsOf(node: Node): NodeNews {
  return {
    url: node.url,
    role: node.role,
    models: node.registeredModels,
    speed: node.speed,
    name: node.name,
    enabled: node.health.state !== "draining",
    slot: node.slot,
    isVouchedFor: node.registeredIn === node.generation,
  };
}

function modelsOf({ url, listed, cards, discoveredModels }: Node): News {
  return { is: "models", url, cards: listed ? cards : null, models: discoveredModels };
}
