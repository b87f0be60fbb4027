/** What should stay on one node: a session, a user, or prompts that begin alike. */
import { smallValue } from "./member-spans.ts";
import { type Hash, promptBeginning } from "./prompt-blocks.ts";
import type { RequestHead } from "./request-head.ts";

/**
 * Headers that name a session, the first that is there and not empty: those of routers, then what agents
 * send by themselves (opencode; Claude Code; Codex, of today and of before).
 */
const SESSION_HEADERS = [
  "x-session-id",
  "x-smg-routing-key",
  "x-session-affinity",
  "x-claude-code-session-id",
  "session-id",
  "thread-id",
  "session_id",
  "conversation_id",
] as const;
/** Who asks. One user may have many sessions. */
const USER_HEADERS = ["x-user-id", "x-tenant-id"] as const;

const encoder = new TextEncoder();

/** What can be read of a request before it is sent. */
export interface Read {
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** Of `body`; null when that is no JSON. */
  readonly head: RequestHead | null;
}

/** Hashes of a session's name and of its model's; 0 for none. */
export interface NamedSession {
  readonly id: number;
  readonly model: number;
}

/** A hash of a session's name, whichever way it is told. */
export function sessionId(name: string, hash: Hash): number {
  return hash(encoder.encode(name), 0);
}

/**
 * The session that a request names: in a header, else in the body's `session_params` (its `session_id`, or
 * SGLang's `id`), `session_id` (LMDeploy's -1 is none) or `prompt_cache_key`. Null when it names none.
 * @param first Headers that come before those that are known.
 */
export function sessionOf(read: Read, first: readonly string[], hash: Hash): NamedSession | null {
  const name = sessionName(read, first);
  if (name === null) return null;
  const model = read.head?.model ?? null;
  return { id: sessionId(name, hash), model: model === null ? 0 : hash(encoder.encode(model), 1) };
}

/**
 * A hash of the session's name, else of the user's (a header, the body's `user`), else of the prompt's
 * beginning. Null when there is none of these.
 */
export function sessionKey(read: Read, first: readonly string[], hash: Hash): number | null {
  const { headers, body, head } = read;
  const name = sessionName(read, first) ?? headerOf(headers, USER_HEADERS) ?? member(read, "user");
  if (name !== null) return sessionId(name, hash);
  return head === null ? null : promptBeginning(body, head, hash);
}

function sessionName(read: Read, first: readonly string[]): string | null {
  const { headers } = read;
  return (
    headerOf(headers, first) ??
    headerOf(headers, SESSION_HEADERS) ??
    sessionParam(memberValue(read, "session_params")) ??
    member(read, "session_id") ??
    member(read, "prompt_cache_key")
  );
}

/** An empty header is none. */
function headerOf(headers: Headers, names: readonly string[]): string | null {
  for (const name of names) {
    const value = headers.get(name)?.trim() ?? "";
    if (value !== "") return value;
  }
  return null;
}

function member(read: Read, name: string): string | null {
  return textOf(memberValue(read, name));
}

function memberValue({ body, head }: Read, name: string): unknown {
  return head === null ? null : smallValue(body, head.members, name);
}

function sessionParam(value: unknown): string | null {
  if (typeof value !== "object" || value === null) return null;
  const session = "session_id" in value ? textOf(value.session_id) : null;
  return session ?? ("id" in value ? textOf(value.id) : null);
}

function textOf(value: unknown): string | null {
  if (typeof value === "number") return value < 0 ? null : String(value);
  return typeof value === "string" && value.trim() !== "" ? value : null;
}
