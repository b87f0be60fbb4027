import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { StateFile, Warn } from "./file.ts";
import type { StateEntry } from "./format.ts";

export interface KeptNodesOptions {
  readonly registry: Registry;
  readonly warn: Warn;
  /** Null, or why this proxy, as it is configured, cannot have the node. */
  readonly refusal: (entry: StateEntry) => string | null;
}

/** What of the registry outlives its process. */
export class KeptNodes {
  readonly #options: KeptNodesOptions;
  #leftOut: readonly StateEntry[] = [];

  constructor(options: KeptNodesOptions) {
    this.#options = options;
  }

  /**
   * Registers nodes that were kept, in their order. A restored node starts anew: its probe decides. One
   * that is not accepted is left out with a warning but stays kept, since engines register only once
   * and the next start may be configured otherwise.
   */
  restore(entries: readonly StateEntry[]): void {
    const { registry, refusal, warn } = this.#options;
    for (const entry of entries) {
      const { url, role, models, speed, name } = entry;
      const reason = refusal(entry);
      if (reason !== null) {
        warn("node of the state file left out", { node: url, role, reason });
        this.#leftOut = [...this.#leftOut.filter((other) => other.url !== url), entry];
        continue;
      }
      const registration = { role, models, speed, name };
      const node = registry.membership.restore(url, registration, entry.discoveredModels);
      if (node.name !== name) {
        warn("node of the state file goes without its name, which another has", {
          node: url,
          name: name ?? "",
        });
      }
      if (entry.draining) registry.membership.drain(url);
    }
  }

  /** What is to be kept now. */
  entries(): readonly StateEntry[] {
    const { registry } = this.#options;
    const { membership } = registry;
    return [
      ...membership.toKeep().map((node) => entryOf(node, membership.registeredName(node.url))),
      ...this.#leftOut.filter(({ url }) => registry.get(url) === undefined),
    ];
  }

  /**
   * Another proxy, of whose entries `before` were restored here, has `after` now: its changes are made
   * here too, but for nodes that somebody has changed here meanwhile.
   */
  catchUp(before: readonly StateEntry[], after: readonly StateEntry[]): void {
    const [was, is, here] = [before, after, this.entries()].map(byUrl);
    for (const url of new Set([...before, ...after].map((entry) => entry.url))) {
      const now = is?.get(url);
      if (isSame(was?.get(url), now) || !isSame(was?.get(url), here?.get(url))) continue;
      if (now !== undefined) this.restore([now]);
      else this.#options.registry.membership.remove(url);
    }
  }

  /** Saves every change from now on, until the function returned is called. */
  saveTo(file: StateFile): () => void {
    const save = () => file.save(() => this.entries());
    return this.#options.registry.subscribe({
      membershipChanged: save,
      stateChanged: (_node, from, to) => {
        if (from === "draining" || to === "draining") save();
      },
    });
  }
}

function byUrl(entries: readonly StateEntry[]): ReadonlyMap<string, StateEntry> {
  return new Map(entries.map((entry) => [entry.url, entry]));
}

/** But for the models that each proxy asks for itself. */
function isSame(one: StateEntry | undefined, other: StateEntry | undefined): boolean {
  const said = (entry: StateEntry | undefined) =>
    entry === undefined ? "" : JSON.stringify({ ...entry, discoveredModels: null });
  return said(one) === said(other);
}

function entryOf(node: Node, name: string | null): StateEntry {
  return {
    url: node.url,
    role: node.role,
    models: node.registeredModels,
    discoveredModels: node.discoveredModels,
    speed: node.speed,
    draining: node.health.state === "draining",
    name,
  };
}
