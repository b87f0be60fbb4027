/** The flags of `lmproxy lab`. */
import { Type } from "@sinclair/typebox";
import { type Flag, flagGroup } from "../config/flag.ts";
import * as kinds from "../config/kinds.ts";
import { CONTESTANT_NAMES } from "../lab/contestants.ts";
import { ENGINES } from "../lab/engines.ts";
import { SYNTHETIC_NAMES } from "../lab/trace/synthetic.ts";

const Word = Type.String({ minLength: 1, pattern: "^[^\\x00-\\x1f\\x7f]+$" });

export const LabSettings = Type.Object({
  traces: Type.Array(Word, { default: [] }),
  clusters: Type.Array(Word, { default: [] }),
  nodes: Type.Integer({ minimum: 1, maximum: 256, default: 8 }),
  models: Type.Array(Word, { default: [] }),
  strategies: Type.Array(Word, { default: [] }),
  seeds: Type.Integer({ minimum: 1, maximum: 1_000, default: 3 }),
  workers: Type.Integer({ minimum: 1, maximum: kinds.MOST_WORKERS, default: 1 }),
  rate: Type.Number({ exclusiveMinimum: 0, maximum: 1_000, default: 1 }),
  closedLoop: Type.Boolean({ default: false }),
  events: Type.Array(Word, { default: [] }),
  json: Type.Boolean({ default: false }),
  plot: Type.Union([Word, Type.Null()], { default: null }),
  jobs: Type.Union([Type.Integer({ minimum: 1, maximum: 1_024 }), Type.Null()], { default: null }),
});
const { properties: fields } = LabSettings;

const name = kinds.text("a name without control characters");

export const LAB_FLAGS: readonly Flag[] = flagGroup("Laboratory", [
  {
    key: "traces",
    names: ["trace"],
    argument: "file",
    kind: name,
    value: fields.traces,
    isList: true,
    help:
      "Recorded traffic: Mooncake's or Bailian's JSON lines, Azure's or BurstGPT's CSV, agent sessions, " +
      "also packed with gzip or zstd; or " +
      `synthetic: and one of ${SYNTHETIC_NAMES.join(", ")}. Default: synthetic:chat.`,
  },
  {
    key: "clusters",
    names: ["cluster"],
    argument: "name",
    kind: name,
    value: fields.clusters,
    isList: true,
    help:
      "equal, unequal (speeds 1.5, 1.5, 1, 1, 1, 1, 0.5, 0.5), distserve (three of four nodes do " +
      "prefills), distserve-unequal (1.5, 0.5, 1 of each role), or a JSON file with `speeds`, `roles` " +
      "(Prefill and Decode) and `events`. Default: equal.",
  },
  {
    key: "nodes",
    names: ["nodes"],
    argument: "number",
    kind: kinds.wholeNumber("a whole number from 1 to 256"),
    value: fields.nodes,
    help: "Nodes of the cluster.",
  },
  {
    key: "models",
    names: ["model"],
    argument: "name",
    kind: name,
    value: fields.models,
    isList: true,
    help:
      `What engines and their model cost: ${Object.keys(ENGINES).join(", ")}, or a JSON file of ` +
      `figures. Default: ${defaultModel()}.`,
  },
  {
    key: "strategies",
    names: ["strategies", "strategy"],
    argument: "names",
    kind: name,
    value: fields.strategies,
    isList: true,
    help:
      `With commas between them: ${CONTESTANT_NAMES.join(", ")}; A+B is A among prefill nodes and B ` +
      "among decode nodes. Default: all.",
  },
  {
    key: "seeds",
    names: ["seeds"],
    argument: "number",
    kind: kinds.wholeNumber("a whole number from 1 to 1000"),
    value: fields.seeds,
    help: "Runs of each, with seeds from 1 on.",
  },
  {
    key: "workers",
    names: ["workers"],
    argument: "number",
    kind: kinds.wholeNumber(`a whole number from 1 to ${kinds.MOST_WORKERS}`),
    value: fields.workers,
    help:
      "Workers of the proxy: in-flight, prompts and latencies are known to all, what requests teach of a node's " +
      "conduct is each worker's own, and every request comes to any of them, as over a connection of its own.",
  },
  {
    key: "rate",
    names: ["rate"],
    argument: "factor",
    kind: kinds.decimal("a number above 0, up to 1000"),
    value: fields.rate,
    help: "Factor on the rate at which requests come.",
  },
  {
    key: "closedLoop",
    names: ["closed-loop"],
    value: fields.closedLoop,
    help: "A turn begins when the one before it was answered, and its recorded pause is over.",
  },
  {
    key: "events",
    names: ["event"],
    argument: "event",
    kind: name,
    value: fields.events,
    isList: true,
    help:
      "joins, dies, returns, slows (ten times, and healthy) or recovers, at a second, to a node: " +
      "slows@600:3.",
  },
  {
    key: "json",
    names: ["json"],
    value: fields.json,
    help: "Print an array of rows, one a run, instead of a table.",
  },
  {
    key: "plot",
    names: ["plot"],
    argument: "file",
    kind: name,
    value: fields.plot,
    help: "Write an SVG: the distribution of TTFT, and the nodes' load over time, of the first seed.",
  },
  {
    key: "jobs",
    names: ["jobs"],
    argument: "number",
    kind: kinds.wholeNumber("a whole number from 1 to 1024"),
    value: fields.jobs,
    help: "Processes that share the work. Default: one a core.",
  },
]);

/** The model that is taken when none is named. */
export function defaultModel(): string {
  return Object.keys(ENGINES)[0] ?? "";
}
