/** What should stay on one node: a session, a user, or prompts that begin alike. */
import { lastMember, valueText } from "./member-spans.ts";
import { type Hash, promptBeginning } from "./prompt-blocks.ts";
import type { RequestHead } from "./request-head.ts";

/** Headers that name it, the first that is there and not empty; the names other routers use. */
const HEADERS = ["x-session-id", "x-smg-routing-key", "x-user-id", "x-tenant-id"] as const;

/** Longer values are nobody's name, bytes. */
const MAX_BYTES = 4096;

const encoder = new TextEncoder();

/**
 * A hash of the session's name: from a header, then from the body's `session_params.session_id`, `user` or
 * `session_id`, then of the prompt's beginning. Null when there is none of these.
 * @param head Of `body`; null when that is no JSON.
 */
export function sessionKey(
  headers: Headers,
  body: Uint8Array,
  head: RequestHead | null,
  hash: Hash,
): number | null {
  for (const name of HEADERS) {
    const value = headers.get(name)?.trim() ?? "";
    if (value !== "") return hash(encoder.encode(value), 0);
  }
  if (head === null) return null;
  const named =
    sessionParam(memberValue(body, head, "session_params")) ??
    textOf(memberValue(body, head, "user")) ??
    textOf(memberValue(body, head, "session_id"));
  return named === null ? promptBeginning(body, head, hash) : hash(encoder.encode(named), 0);
}

function memberValue(body: Uint8Array, head: RequestHead, name: string): unknown {
  const member = lastMember(body, head.members, name);
  if (member === null || member.valueEnd - member.valueStart > MAX_BYTES) return null;
  try {
    return JSON.parse(valueText(body, member));
  } catch {
    // What nested values hold is the engine's to judge.
    return null;
  }
}

function sessionParam(value: unknown): string | null {
  if (typeof value !== "object" || value === null || !("session_id" in value)) return null;
  return textOf(value.session_id);
}

function textOf(value: unknown): string | null {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value.trim() !== "" ? value : null;
}
