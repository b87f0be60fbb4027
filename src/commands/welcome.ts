/** What `lmproxy serve` says when it listens, and what it warns of. Pure. */
import type { Config } from "../config/serve-config.ts";
import type { Role } from "../core/engine/roles.ts";

/** What is known only once it listens. */
export interface Welcomed {
  /** As Bun writes the address that it listens on. */
  readonly url: string;
  /** Nodes that it knows already. */
  readonly nodes: number;
  /** Roles of which it knows none, though every request takes one. */
  readonly lacking?: readonly Role[];
  /** Processes that answer clients, where they are others. */
  readonly workers?: number;
}

/** Lines for a person; the first is `lmproxy listens on URL`. Ends with a newline. */
export function welcome(
  version: string,
  config: Config,
  { url, nodes, lacking = [], workers }: Welcomed,
): string {
  const everywhere = /\/\/(?:0\.0\.0\.0|\[::\])(?::|$)/.test(url);
  const open = url.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]");
  const rows = [
    ["version", everywhere ? `${version}, on every address of this machine` : version],
    ["page", `${open}/`],
    ["docs", `${open}/docs`],
    ["nodes", nodes === 0 ? howToGetNodes(config, url) : known(nodes, lacking)],
    ["access", whoMayCall(config)],
    ...(workers === undefined ? [] : [["workers", String(workers)]]),
    ["state", config.statePath ?? "kept in no file"],
  ];
  const lines = rows.map(([name = "", text]) => `  ${name.padEnd(7)}  ${text}\n`);
  return `lmproxy listens on ${open}\n${lines.join("")}`;
}

function howToGetNodes({ servingStrategy, tls }: Config, url: string): string {
  const flag = servingStrategy === "DistServe" ? "--prefill and --decode" : "--node";
  const port = /:\d+$/.exec(url)?.[0] ?? "";
  const proxy = `${tls === null ? "http" : "https"}://HOST${port}`;
  return `none yet: start engines with --proxy-url ${proxy}, or name them with ${flag}`;
}

function known(nodes: number, [role]: readonly Role[]): string {
  if (role === undefined) return String(nodes);
  return `${nodes}, none of role ${role} yet: start one, or name it with --${role.toLowerCase()}`;
}

function whoMayCall({ apiKeys, adminKey }: Config): string {
  if (apiKeys.length === 0) {
    return adminKey === null
      ? "open to all, administration too; --api-keys and --admin-key ask for keys"
      : "open to all clients; administration needs the admin key";
  }
  return adminKey === null
    ? "clients and administrators need an API key"
    : "clients need an API key, administration the admin key";
}

/** What the one who started it may not have meant. */
export function startWarnings({ apiKeys, adminKey, statePath, ...nodes }: Config): string[] {
  const isNobodyNamed = [nodes.nodes, nodes.prefillNodes, nodes.decodeNodes].every(
    (named) => named.length === 0,
  );
  return [
    ...(apiKeys.length > 0 && adminKey === null
      ? [
          "every client's API key may also remove nodes and end engines; --admin-key keeps that apart",
        ]
      : []),
    ...(statePath === null && isNobodyNamed
      ? ["nodes are kept in no file and none is named: a restart forgets them all; see --state"]
      : []),
  ];
}
