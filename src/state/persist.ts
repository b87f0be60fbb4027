import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { StateFile, Warn } from "./file.ts";
import type { StateEntry } from "./format.ts";

export interface PersistOptions {
  readonly registry: Registry;
  readonly file: StateFile;
  readonly warn: Warn;
  /** Null, or why this proxy, as it is configured, cannot have the node. */
  readonly refusal: (entry: StateEntry) => string | null;
}

/**
 * Registers the nodes that `file` holds, in their order, and saves every change from then on until
 * the function returned is called. A restored node starts anew: its probe decides. One that is not
 * accepted is left out with a warning but stays in the file, since engines register only once and
 * the next start may be configured otherwise.
 */
export function persistRegistry(options: PersistOptions): () => void {
  const { registry, file } = options;
  const leftOut = restore(options);
  const snapshot = () => [
    ...registry.membership
      .toKeep()
      .map((node) => entryOf(node, registry.membership.registeredName(node.url))),
    ...leftOut.filter(({ url }) => registry.get(url) === undefined),
  ];
  return registry.subscribe({
    membershipChanged: () => file.save(snapshot),
    stateChanged: (_node, from, to) => {
      if (from === "draining" || to === "draining") file.save(snapshot);
    },
  });
}

/** Returns the entries that were left out. */
function restore({ registry, file, refusal, warn }: PersistOptions): StateEntry[] {
  const leftOut: StateEntry[] = [];
  for (const entry of file.loaded) {
    const { url, role, models, speed, name } = entry;
    const reason = refusal(entry);
    if (reason !== null) {
      warn("node of the state file left out", { node: url, role, reason });
      leftOut.push(entry);
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
  return leftOut;
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
