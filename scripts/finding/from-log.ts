/** Finds the node in the lines of the log, and in nothing else. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { causeOf, type Named } from "./cause.ts";

const Line = Type.Object({
  msg: Type.String(),
  node: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String()),
  tried: Type.Optional(Type.String()),
});

export function fromLog(log: string): Named | null {
  const lines = log.split("\n").flatMap((text) => {
    const line: unknown = text.startsWith("{") ? JSON.parse(text) : null;
    return Value.Check(Line, line) ? [line] : [];
  });
  for (const { msg, node, reason = "" } of lines) {
    if (node === undefined) continue;
    if (msg === "node runs more than it was sent") return { node, cause: "flooded" };
    const cause = msg === "node is out" ? causeOf(reason) : null;
    if (cause !== null) return { node, cause };
  }
  // Requests that another node had to answer, as h100-07:500.
  for (const { tried = "" } of lines) {
    const [, node] = /(?:^| )(\S+):5\d\d\b/.exec(tried) ?? [];
    if (node !== undefined) return { node, cause: "errors" };
  }
  return null;
}
