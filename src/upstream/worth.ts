/** What an answer amounts to by what it holds: its head may say 200 to anything. */
import { isPacked } from "../core/headers.ts";
import { EMPTY } from "../core/pool/statuses.ts";
import { failureOfError, failureOfWhole, holdsNothing, lacks } from "../core/said-failure.ts";
import { failureOfStream } from "../core/sse-opening.ts";
import type { AnswerForm } from "../core/usage.ts";

/** Partial content, of a range that nobody asked for. */
const PARTIAL = 206;

/** The list in which whole answers of these calls have what was asked for, whichever the engine. */
const LISTS: ReadonlyMap<string, string> = new Map([
  ["/v1/chat/completions", "choices"],
  ["/v1/completions", "choices"],
  ["/v1/messages", "content"],
  ["/v1/responses", "output"],
  ["/v1/embeddings", "data"],
]);

/**
 * The status that an answer amounts to.
 * @param body What has come of it. @param isWhole Whether that is all. @param target Path and query that were asked for.
 */
export function amountOf(
  { ok, status, headers }: Response,
  form: AnswerForm | null,
  target: string,
  body: Uint8Array,
  isWhole: boolean,
): number {
  const list = listOf(target);
  const mayBeWhole = isWhole || form === "json";
  if (ok && mayBeWhole) {
    const failure = form === "events" ? failureOfStream(body) : failureOfWhole(body);
    if (failure !== null) return failure;
    // Embeddings may be asked for as bytes.
    const isBytes = isPacked(headers) || (form === null && list === "data");
    const isText = form !== "events" && !isBytes;
    if (list !== null && isText && lacks(body, list)) return failureOfError(body) ?? EMPTY;
  }
  // To other calls 204 may be all there is to say, and 206 a part that was asked for.
  if (!ok || (status !== 200 && list === null)) return status;
  const isNothing = (mayBeWhole && holdsNothing(body)) || (form === null && isPage(headers));
  return isNothing || status === PARTIAL ? EMPTY : status;
}

/** Null for calls of which it is not known. */
function listOf(target: string): string | null {
  const query = target.indexOf("?");
  return LISTS.get(query < 0 ? target : target.slice(0, query)) ?? null;
}

/** Whether it is for people in front of a browser: of a gateway that wants them to sign in, never an engine's. */
function isPage(headers: Headers): boolean {
  return /^text\/html\b/i.test(headers.get("content-type") ?? "");
}
