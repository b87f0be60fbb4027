/**
 * The text of a state file, drawn and parsed. Pure.
 *
 * Two layouts are read, and each file is written in the layout it was read in:
 * - `lmproxy`: `{"version": 1, "nodes": [{"url", "role", "models", …}]}`, ours;
 * - `lmdeploy`: the `proxy_config.json` of LMDeploy's Python proxy, URL → a JSON *string* holding
 *   its status object. It stays in that layout so that going back to LMDeploy stays possible: the
 *   five fields LMDeploy knows stand there as it wants them (role by number, speed a whole number,
 *   since it refuses fractions), and what it has no field for under `lmproxy`, which it ignores.
 *
 * Neither holds a key: nothing but what an engine said of itself is written.
 */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { NODE_NAME } from "../core/address/node-name.ts";
import { normaliseNodeUrl } from "../core/address/node-url.ts";
import { ROLE_NUMBERS, type Role, readRole } from "../core/engine/roles.ts";

/** One node as it is kept. */
export interface StateEntry {
  /** Normalised. */
  readonly url: string;
  readonly role: Role;
  /** Models it registered with. */
  readonly models: readonly string[];
  /** Models its `/v1/models` named last: known before the node answers again. */
  readonly discoveredModels: readonly string[];
  /** Relative capability, above 0, or null when not given. */
  readonly speed: number | null;
  readonly draining: boolean;
  /** What people call it, or null. */
  readonly name: string | null;
}

export type Layout = "lmproxy" | "lmdeploy";

export interface ParsedState {
  readonly kind: "parsed";
  /** Null when the file is empty. */
  readonly layout: Layout | null;
  /** In the order of the file, each URL once; the last of several counts. */
  readonly entries: readonly StateEntry[];
  /** Entries that could not be used: their place in the file, from 1, and why. */
  readonly skipped: readonly { readonly place: number; readonly reason: string }[];
}

/** The bytes are no state file; `reason` completes "it …". */
export interface DamagedState {
  readonly kind: "damaged";
  readonly reason: string;
}

const VERSION = 1;

const orAbsent = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

/** What either layout says of a node; unknown fields are ignored. */
const NodeFields = Type.Object({
  role: orAbsent(Type.Union([Type.Number(), Type.String()])),
  models: orAbsent(Type.Array(Type.String())),
  discovered_models: orAbsent(Type.Array(Type.String())),
  speed: orAbsent(Type.Number()),
  draining: orAbsent(Type.Boolean()),
  name: orAbsent(Type.String()),
});
const OwnNode = Type.Object({ url: Type.String() });
const OwnFile = Type.Object({ version: Type.Literal(VERSION), nodes: Type.Array(Type.Unknown()) });
const Versioned = Type.Object({ version: Type.Unknown() });
const LmdeployStatus = Type.Object({ lmproxy: Type.Optional(Type.Unknown()) });
const JsonObject = Type.Object({});

/** Reads a state file of either layout. Never throws: what is no state file is a value, too. */
export function parseState(bytes: Uint8Array): ParsedState | DamagedState {
  let value: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (text.trim() === "") return { kind: "parsed", layout: null, entries: [], skipped: [] };
    value = JSON.parse(text);
  } catch {
    return { kind: "damaged", reason: "is not JSON" };
  }
  if (!Value.Check(JsonObject, value)) return { kind: "damaged", reason: "is not a JSON object" };
  return Value.Check(Versioned, value) ? parseOwn(value) : parseLmdeploy(value);
}

function parseOwn(value: Static<typeof Versioned>): ParsedState | DamagedState {
  if (Value.Check(OwnFile, value)) {
    const nodes = value.nodes.map((node) => ({
      url: Value.Check(OwnNode, node) ? node.url : null,
      fields: node,
    }));
    return readNodes("lmproxy", nodes);
  }
  const { version } = value;
  const newer = typeof version === "number" && version > VERSION;
  const reason = newer ? `was written by a newer lmproxy (version ${version})` : "has no nodes";
  return { kind: "damaged", reason };
}

function parseLmdeploy(value: object): ParsedState | DamagedState {
  const statuses: [string, unknown][] = Object.entries(value);
  const nodes = statuses.map(([url, status]) => ({ url, fields: lmdeployFields(status) }));
  const parsed = readNodes("lmdeploy", nodes);
  // Somebody's other JSON file: skipping all of it and then writing over it would destroy it.
  const foreign = parsed.entries.length === 0 && nodes.length > 0;
  return foreign ? { kind: "damaged", reason: "names no node" } : parsed;
}

function lmdeployFields(status: unknown): unknown {
  let fields: unknown = status;
  if (typeof status === "string") {
    try {
      fields = JSON.parse(status);
    } catch {
      return null;
    }
  }
  return Value.Check(LmdeployStatus, fields) ? (fields.lmproxy ?? fields) : null;
}

function readNodes(
  layout: Layout,
  nodes: readonly { readonly url: string | null; readonly fields: unknown }[],
): ParsedState {
  const entries = new Map<string, StateEntry>();
  const skipped: { place: number; reason: string }[] = [];
  for (const [index, { url, fields }] of nodes.entries()) {
    const entry = url === null ? "has no url" : readNode(url, fields);
    if (typeof entry === "string") skipped.push({ place: index + 1, reason: entry });
    else entries.set(entry.url, entry);
  }
  return { kind: "parsed", layout, entries: [...entries.values()], skipped };
}

/** The entry, or why there is none. */
function readNode(url: string, fields: unknown): StateEntry | string {
  if (!Value.Check(NodeFields, fields)) return "has fields of the wrong type";
  const role = readRole(fields.role ?? "Hybrid");
  if (role === null) return "has a role that is not Hybrid, Prefill or Decode";
  const { speed } = fields;
  try {
    return {
      url: normaliseNodeUrl(url, {}),
      role,
      models: fields.models ?? [],
      discoveredModels: fields.discovered_models ?? [],
      speed: typeof speed === "number" && speed > 0 ? speed : null,
      draining: fields.draining ?? false,
      name: NODE_NAME.test(fields.name ?? "") ? (fields.name ?? null) : null,
    };
  } catch (error) {
    return error instanceof Error ? error.message : "has a url that cannot be used";
  }
}

/** The text of a state file that holds `entries`; `parseState` reads it back to the same entries. */
export function drawState(entries: readonly StateEntry[], layout: Layout): string {
  const value =
    layout === "lmproxy"
      ? {
          version: VERSION,
          nodes: entries.map((entry) => ({ url: entry.url, ...ownFields(entry) })),
        }
      : Object.fromEntries(entries.map((entry) => [entry.url, lmdeployStatus(entry)]));
  return `${JSON.stringify(value, null, 2)}\n`;
}

function ownFields(entry: StateEntry): Static<typeof NodeFields> {
  return {
    role: entry.role,
    models: [...entry.models],
    discovered_models: [...entry.discoveredModels],
    speed: entry.speed,
    draining: entry.draining,
    ...(entry.name === null ? {} : { name: entry.name }),
  };
}

function lmdeployStatus(entry: StateEntry): string {
  return JSON.stringify({
    role: ROLE_NUMBERS[entry.role],
    models: [...new Set([...entry.models, ...entry.discoveredModels])],
    unfinished: 0,
    latency: [],
    // LMDeploy divides by it, and refuses fractions.
    speed: entry.speed === null ? null : Math.max(Math.round(entry.speed), 1),
    lmproxy: ownFields(entry),
  });
}
