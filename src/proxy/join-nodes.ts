import type { Config } from "../config/serve-config.ts";
import type { Role } from "../core/engine/roles.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { NodePolicy } from "../discovery/node-policy.ts";
import type { Mode } from "../http/mode.ts";
import type { StateFile, Warn } from "../state/file.ts";
import { persistRegistry } from "../state/persist.ts";

/** Brings back the nodes of the state file, then adds those of the flags. */
export function joinNodes(
  config: Config,
  registry: Registry,
  nodePolicy: NodePolicy,
  mode: Mode,
  stateFile: StateFile | null,
  warn: Warn,
): void {
  const named = namedNodes(config).map(({ url, role }) => ({
    url: nodePolicy.accept(url, null),
    role,
  }));
  if (stateFile !== null) {
    persistRegistry({
      registry,
      file: stateFile,
      warn,
      accepts: ({ url, role }) => mode.refusal(role) ?? nodePolicy.refusal(url),
      isStatic: (url, role) => named.some((node) => node.url === url && node.role === role),
    });
  }
  for (const { url, role } of named) {
    // What its engine registered before a restart says more than the flag.
    if (registry.get(url) !== undefined) continue;
    registry.register(url, { models: [], role, speed: null });
  }
}

function namedNodes(config: Config): { readonly url: string; readonly role: Role }[] {
  const of = (role: Role, urls: readonly string[]) => urls.map((url) => ({ url, role }));
  return [
    ...of("Hybrid", config.nodes),
    ...of("Prefill", config.prefillNodes),
    ...of("Decode", config.decodeNodes),
  ];
}
