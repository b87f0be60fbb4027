/** What `lmproxy lab` is given by name or in a file. */
import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { ReadFile } from "../config/resolve.ts";
import { UsageError } from "../config/usage-error.ts";
import { type ClusterEvent, type ClusterShape, clusterOf, eventOf } from "../lab/clusters.ts";
import { ENGINES, engineOf } from "../lab/engines.ts";
import type { NamedModel } from "../lab/suite.ts";
import { DAY_MS, MOST_DAYS, TraceReader } from "../lab/trace/read-trace.ts";
import { SYNTHETIC_NAMES, synthetic } from "../lab/trace/synthetic.ts";
import type { Trace } from "../lab/trace/trace.ts";
import { TraceError } from "../lab/trace/trace-error.ts";
import { piecesOf, unreadable } from "./trace-file.ts";

const SYNTHETIC = "synthetic:";
/** Made-up traffic and what a file leaves to chance are the same in every run. */
const SEED = 1;

/** With engines slower than this a run would never end. */
const LEAST_TOKENS_PER_S = 1;
const MOST_STEP_MS = 60_000;
const LEAST_SPEED = 0.001;

const stepMs = Type.Optional(Type.Number({ minimum: 0, maximum: MOST_STEP_MS }));
const count = Type.Optional(Type.Integer({ minimum: 1 }));

const ModelFile = Type.Object(
  {
    prefillTokensPerS: Type.Optional(Type.Number({ minimum: LEAST_TOKENS_PER_S })),
    stepBaseMs: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: MOST_STEP_MS })),
    stepPerSequenceMs: stepMs,
    stepPer1kContextMs: stepMs,
    blockSizeTokens: count,
    totalBlocks: count,
    maxBatchSize: count,
    maxStepTokens: count,
    prefixCache: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);

const ClusterFile = Type.Object(
  {
    speeds: Type.Array(Type.Number({ minimum: LEAST_SPEED }), { minItems: 1, maxItems: 256 }),
    roles: Type.Optional(Type.Array(Type.Union([Type.Literal("Prefill"), Type.Literal("Decode")]))),
    events: Type.Optional(Type.Array(Type.String())),
  },
  { additionalProperties: false },
);

/** @param tell Called with what is read, and how much of it is, 0 to 1, where that is known. @throws UsageError */
export async function traceNamed(
  name: string,
  tell: (what: string, share?: number) => void,
): Promise<Trace> {
  if (name.startsWith(SYNTHETIC)) {
    const trace = synthetic(name.slice(SYNTHETIC.length), SEED);
    if (trace !== null) return trace;
    throw new UsageError(
      `--trace ${name}: there is ${SYNTHETIC} and ${SYNTHETIC_NAMES.join(", ")}`,
    );
  }
  const reader = new TraceReader(basename(name), SEED);
  const told = (share?: number) => tell(`reading ${basename(name)}`, share);
  try {
    for await (const piece of piecesOf(name, told)) reader.write(piece);
    return reader.end();
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`--trace ${name} ${error.message}`);
    if (error instanceof TraceError) throw new UsageError(`--trace ${name}: ${error.message}`);
    throw error;
  }
}

/** @param rate Factor on the rate at which its requests come, above 0. @throws UsageError */
export function refuseEternity({ name, requests }: Trace, rate: number): void {
  const lastMs = requests.at(-1)?.atMs ?? 0;
  if (lastMs / rate <= MOST_DAYS * DAY_MS) return;
  throw new UsageError(`--rate ${rate} makes more than ${MOST_DAYS} days of ${name}`);
}

/** Not a pipe: what was read of it is gone. Nor what this process alone has open, as `/dev/stdin` or `/dev/fd/3`. */
export function canBeReadAgain(name: string): boolean {
  const found = statSync(name, { throwIfNoEntry: false });
  if (found === undefined) return true;
  return found.isFile() && !/^\/(dev|proc)\//.test(resolve(name));
}

/** @throws UsageError */
export function clusterNamed(
  name: string,
  nodes: number,
  more: readonly ClusterEvent[],
  readFile: ReadFile,
): ClusterShape {
  const known = clusterOf(name, nodes);
  if (known !== null) {
    if (known.roles !== undefined && nodes < 2) {
      throw new UsageError(`--cluster ${name} needs two nodes or more`);
    }
    return withNodes({ ...known, events: more });
  }
  const { speeds, roles, events = [] } = fileOf("--cluster", name, ClusterFile, readFile);
  if (roles !== undefined && roles.length !== speeds.length) {
    throw new UsageError(`--cluster ${name}: there must be as many roles as speeds`);
  }
  if (roles !== undefined && new Set(roles).size < 2) {
    throw new UsageError(`--cluster ${name}: \`roles\` must name a Prefill and a Decode node`);
  }
  const shape = { name: basename(name), speeds, events: [...events.map(eventNamed), ...more] };
  return withNodes(roles === undefined ? shape : { ...shape, roles });
}

/** Events happen to nodes that are there or join. @throws UsageError */
function withNodes(shape: ClusterShape): ClusterShape {
  const { name, speeds, events } = shape;
  const nodes = speeds.length + events.filter(({ what }) => what === "joins").length;
  for (const { what, atS, node } of events) {
    if (what === "joins" || node < nodes) continue;
    throw new UsageError(
      `${what}@${atS}:${node} is of no node: those of ${name} are 0 to ${nodes - 1}`,
    );
  }
  return shape;
}

/** @throws UsageError */
export function modelNamed(name: string, readFile: ReadFile): NamedModel {
  const params = Object.hasOwn(ENGINES, name) ? ENGINES[name] : undefined;
  if (params !== undefined) return { name, params };
  const given = fileOf("--model", name, ModelFile, readFile);
  return { name: basename(name), params: engineOf(given) };
}

/** @throws UsageError */
export function eventNamed(text: string): ClusterEvent {
  const event = eventOf(text);
  if (event !== null) return event;
  throw new UsageError(
    `${text} is no event: write joins, dies, returns, slows or recovers, @ and the second, : and the ` +
      "node, as slows@600:3",
  );
}

function fileOf<T extends TSchema>(
  flag: string,
  path: string,
  schema: T,
  readFile: ReadFile,
): Static<T> {
  const text = read(flag, path, readFile);
  try {
    const value: unknown = JSON.parse(text);
    const [wrong] = [...Value.Errors(schema, value)];
    if (wrong === undefined) return Value.Decode(schema, value);
    throw new UsageError(`${flag} ${path}: ${wrong.path || "the file"}: ${wrong.message}`);
  } catch (error) {
    if (error instanceof SyntaxError) throw new UsageError(`${flag} ${path} is no JSON`);
    throw error;
  }
}

function read(flag: string, path: string, readFile: ReadFile): string {
  try {
    return readFile(path);
  } catch (error) {
    throw new UsageError(`${flag} ${path} ${unreadable(error)}`);
  }
}
