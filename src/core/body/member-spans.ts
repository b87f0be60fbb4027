/**
 * The top-level members of a scanned JSON object as byte positions, and how to find one by its key.
 *
 * The positions lie flat in one array, `STRIDE` numbers a member, so that a request costs no object
 * for each of its fields.
 */

import { textAt } from "../text.ts";
import { BACKSLASH, malformed, spells } from "./json-scan.ts";

/** Numbers a member takes up in `MemberSpans`. */
export const STRIDE = 4;

/** For each member in order: key start (its quote), key end, value start, value end. */
export type MemberSpans = readonly number[];

/** Byte positions of one member; ends are exclusive. */
export interface Member {
  /** The opening quote of the key. */
  readonly memberStart: number;
  readonly keyEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;
}

/** The member that `index`, 0 to count - 1, stands for. */
export function memberAt(members: MemberSpans, index: number): Member {
  const at = index * STRIDE;
  return {
    memberStart: members[at] ?? 0,
    keyEnd: members[at + 1] ?? 0,
    valueStart: members[at + 2] ?? 0,
    valueEnd: members[at + 3] ?? 0,
  };
}

/**
 * Which of `names` (ASCII, no escapes) the key from `start` to `end`, quotes included, spells once
 * unescaped; null when it is none of them.
 *
 * @throws ProxyError invalid_request when the key holds control characters or invalid escapes.
 */
export function nameOf<Name extends string>(
  bytes: Uint8Array,
  start: number,
  end: number,
  names: readonly Name[],
): Name | null {
  for (let i = start + 1; i < end - 1; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === BACKSLASH) return unescapedNameOf(bytes, start, end, names);
    if (byte < 0x20) throw malformed("a key without control characters", i);
  }
  for (const name of names) {
    if (spells(bytes, start + 1, end - 1, name)) return name;
  }
  return null;
}

function unescapedNameOf<Name extends string>(
  bytes: Uint8Array,
  start: number,
  end: number,
  names: readonly Name[],
): Name | null {
  try {
    const key: unknown = JSON.parse(textAt(bytes, start, end));
    return names.find((name) => name === key) ?? null;
  } catch {
    throw malformed("a key with valid escapes", start);
  }
}

/**
 * The member with the key `name`, the last one if there are several (as JSON readers take it); null
 * if there is none. `body` is the one that `members` were read from.
 */
export function lastMember(body: Uint8Array, members: MemberSpans, name: string): Member | null {
  const names = [name];
  for (let index = members.length / STRIDE - 1; index >= 0; index--) {
    const at = index * STRIDE;
    const isIt = nameOf(body, members[at] ?? 0, members[at + 1] ?? 0, names) !== null;
    if (isIt) return memberAt(members, index);
  }
  return null;
}

/** The value of `member` as JSON text, as the client wrote it. */
export function valueText(body: Uint8Array, member: Member): string {
  return textAt(body, member.valueStart, member.valueEnd);
}

/** Longer values are nobody's name, bytes. */
const SMALL_BYTES = 4096;

/** The value of the member `name`, parsed; null where there is none, or none of 4 KiB at most. */
export function smallValue(body: Uint8Array, members: MemberSpans, name: string): unknown {
  const member = lastMember(body, members, name);
  return member === null ? null : parsed(body, member);
}

/** The same for several names, in one look at the members; those that are not there are left out. */
export function smallValues<Name extends string>(
  body: Uint8Array,
  members: MemberSpans,
  names: readonly Name[],
): Partial<Record<Name, unknown>> {
  const values: Partial<Record<Name, unknown>> = {};
  for (let at = 0; at < members.length; at += STRIDE) {
    const name = nameOf(body, members[at] ?? 0, members[at + 1] ?? 0, names);
    if (name !== null) values[name] = parsed(body, memberAt(members, at / STRIDE));
  }
  return values;
}

function parsed(body: Uint8Array, member: Member): unknown {
  if (member.valueEnd - member.valueStart > SMALL_BYTES) return null;
  try {
    return JSON.parse(valueText(body, member));
  } catch {
    // What nested values hold is the engine's to judge.
    return null;
  }
}

/** The text from `start` to `end` if it is printable ASCII without escapes, else null. */
export function plainText(bytes: Uint8Array, start: number, end: number): string | null {
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    if (byte < 0x20 || byte > 0x7e || byte === BACKSLASH) return null;
  }
  return textAt(bytes, start, end);
}
