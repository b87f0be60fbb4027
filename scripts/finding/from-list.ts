/** Finds the node in what `nodes list --json` prints, and in nothing else. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { causeOf, type Named } from "./cause.ts";

const NumberOrNull = Type.Union([Type.Number(), Type.Null()]);
const Nodes = Type.Record(
  Type.String(),
  Type.Object({
    state: Type.String(),
    unfinished: Type.Number(),
    running: NumberOrNull,
    waiting: NumberOrNull,
    last_error: Type.Union([Type.String(), Type.Null()]),
    errors_5m: Type.Number(),
  }),
);

/** More than a sample that is some seconds old explains. */
const OTHERS = 30;

export function fromList(list: string): Named | null {
  const nodes: unknown = JSON.parse(list);
  if (!Value.Check(Nodes, nodes)) return null;
  const entries = Object.entries(nodes);
  for (const [node, { state, last_error, running, waiting, unfinished }] of entries) {
    const cause = state === "healthy" ? null : causeOf(last_error ?? "");
    if (cause !== null) return { node, cause };
    if ((running ?? 0) + (waiting ?? 0) > unfinished + OTHERS) return { node, cause: "flooded" };
  }
  // A ratio alone would name a flooded node slow before its gauges, up to 15 s old, say why.
  for (const [node, { errors_5m, state }] of entries) {
    if (errors_5m > 0 && state === "healthy") return { node, cause: "errors" };
  }
  return null;
}
