import type { Config } from "../config/serve-config.ts";
import { splitNamed } from "../core/address/node-name.ts";
import type { Role } from "../core/engine/roles.ts";
import { ProxyError } from "../core/errors.ts";
import type { NamedNode } from "../core/pool/naming.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { NodePolicy } from "../discovery/node-policy.ts";
import { type Source, Sources } from "../discovery/source.ts";
import type { Mode } from "../http/mode.ts";
import type { StateFile, Warn } from "../state/file.ts";
import type { StateEntry } from "../state/format.ts";
import { KeptNodes } from "../state/persist.ts";

/** What came of the nodes' joining. */
export interface Joined {
  readonly kept: KeptNodes;
  readonly sources: Sources;
}

/**
 * Brings back the nodes that were kept, and begins to listen to the sources of others. Which comes
 * first does not matter: what an engine registered says more than a flag.
 * @param stateFile Where every change from then on is saved.
 * @throws ProxyError invalid_request for a node of the flags that cannot be one.
 */
export function joinNodes(
  config: Config,
  registry: Registry,
  nodePolicy: NodePolicy,
  mode: Mode,
  entries: readonly StateEntry[],
  stateFile: StateFile | null,
  warn: Warn,
): Joined {
  const flags = flagSource(config, nodePolicy);
  const refusal = ({ url, role }: { readonly url: string; readonly role: Role }) =>
    mode.refusal(role) ?? nodePolicy.refusal(url);
  const kept = new KeptNodes({ registry, warn, refusal });
  kept.restore(entries);
  if (stateFile !== null) kept.saveTo(stateFile);
  const { membership } = registry;
  const sources = new Sources([flags], { membership, nodePolicy, refusal, warn });
  sources.start();
  return { kept, sources };
}

/** For as long as the proxy runs. */
function flagSource(config: Config, nodePolicy: NodePolicy): Source {
  const nodes = namedNodes(config, nodePolicy);
  return { name: "flags", rank: 0, start: (tell) => tell(nodes), stop: () => {} };
}

/**
 * The nodes that the command line names.
 * @throws ProxyError invalid_request for one that cannot be a node, for two of one name, and for one of two
 * names or roles.
 */
export function namedNodes(config: Config, nodePolicy: NodePolicy): NamedNode[] {
  const of = (role: Role, urls: readonly string[]): NamedNode[] =>
    urls.map(splitNamed).map(({ name, url }) => ({
      url: nodePolicy.accept(url, null),
      name,
      role,
      models: [],
      speed: null,
      enabled: true,
    }));
  const nodes = [
    ...of("Hybrid", config.nodes),
    ...of("Prefill", config.prefillNodes),
    ...of("Decode", config.decodeNodes),
  ];
  const urls = new Map<string, string>();
  const byUrl = new Map<string, NamedNode>();
  for (const node of nodes) {
    const { name = null, url } = node;
    const known = byUrl.get(url);
    if (known !== undefined) refuseUnlike(known, node);
    if (known === undefined || name !== null) byUrl.set(url, node);
    if (name === null) continue;
    const other = urls.get(name) ?? url;
    if (other !== url) {
      throw new ProxyError("invalid_request", `${other} and ${url} cannot both be called ${name}.`);
    }
    urls.set(name, url);
  }
  return [...byUrl.values()];
}

/** An engine does one thing and has one name: otherwise the last word would count, without a word of the others. */
function refuseUnlike(a: NamedNode, b: NamedNode): void {
  const refuse = (what: string) => new ProxyError("invalid_request", `${a.url} cannot be ${what}.`);
  if (a.role !== b.role) throw refuse(`both a ${a.role} and a ${b.role} node`);
  if (a.name && b.name && a.name !== b.name) throw refuse(`called both ${a.name} and ${b.name}`);
}
