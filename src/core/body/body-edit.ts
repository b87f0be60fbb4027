/**
 * Taking members out of a JSON object and putting others in, with everything else left byte for byte
 * as it was: numbers beyond 2^53, key order, white space, escapes.
 */
import { memberAt, nameOf, STRIDE } from "./member-spans.ts";
import type { RequestHead } from "./request-head.ts";

/** A member to put in: its key, and its value as JSON text. */
export type NewMember = readonly [key: string, json: string];

const encoder = new TextEncoder();

/** The body without the members `names` (ASCII), all occurrences; `body` itself if it has none. */
export function stripMembers(
  body: Uint8Array,
  head: RequestHead,
  names: readonly string[],
): Uint8Array {
  const { cuts } = findCuts(body, head, names);
  return cuts.length === 0 ? body : assemble(body, cuts, head.closingBrace, "");
}

/**
 * The body without the members `remove` and with those of `add` before its closing brace, once each:
 * members that already have a key of `add` are taken out. Keys are ASCII.
 */
export function withMembers(
  body: Uint8Array,
  head: RequestHead,
  remove: readonly string[],
  add: readonly NewMember[],
): Uint8Array {
  if (add.length === 0) return stripMembers(body, head, remove);
  const { cuts, kept } = findCuts(body, head, [...remove, ...add.map(([key]) => key)]);
  const text = add.map(([key, json]) => `${JSON.stringify(key)}:${json}`).join(",");
  return assemble(body, cuts, head.closingBrace, kept === 0 ? text : `,${text}`);
}

interface Cuts {
  /** Start and end of each range to leave out, in order, not overlapping. */
  readonly cuts: readonly number[];
  /** Members that stay. */
  readonly kept: number;
}

/**
 * The ranges that hold the members `names` and one comma each: the one after a member that is
 * followed by others, the one before a member that is the last.
 */
function findCuts(body: Uint8Array, head: RequestHead, names: readonly string[]): Cuts {
  const { members } = head;
  const count = members.length / STRIDE;
  const cuts: number[] = [];
  let kept = 0;
  let runStart = -1;
  for (let index = 0; index < count; index++) {
    const start = members[index * STRIDE] ?? 0;
    const keyEnd = members[index * STRIDE + 1] ?? 0;
    if (nameOf(body, start, keyEnd, names) !== null) {
      if (runStart < 0) runStart = index;
      continue;
    }
    kept++;
    if (runStart >= 0) cuts.push(memberAt(members, runStart).memberStart, start);
    runStart = -1;
  }
  if (runStart >= 0) {
    const from =
      runStart > 0 ? memberAt(members, runStart - 1).valueEnd : memberAt(members, 0).memberStart;
    cuts.push(from, memberAt(members, count - 1).valueEnd);
  }
  return { cuts, kept };
}

/** A copy of `body` without the ranges `cuts` and with `inserted` at `insertAt`, behind them all. */
function assemble(
  body: Uint8Array,
  cuts: readonly number[],
  insertAt: number,
  inserted: string,
): Uint8Array {
  const addition = encoder.encode(inserted);
  let sizeBytes = body.length + addition.length;
  for (let i = 0; i < cuts.length; i += 2) sizeBytes -= (cuts[i + 1] ?? 0) - (cuts[i] ?? 0);
  const result = new Uint8Array(sizeBytes);
  let from = 0;
  let to = 0;
  const copyUntil = (end: number): void => {
    result.set(body.subarray(from, end), to);
    to += end - from;
  };
  for (let i = 0; i < cuts.length; i += 2) {
    copyUntil(cuts[i] ?? 0);
    from = cuts[i + 1] ?? 0;
  }
  copyUntil(insertAt);
  result.set(addition, to);
  result.set(body.subarray(insertAt), to + addition.length);
  return result;
}
