/** What of a request's prompt the strategies in force want to know, and nothing more. */
import { type Hash, NO_PROMPT, type PromptBlocks, promptBlocks } from "./prompt-blocks.ts";
import type { RequestHead } from "./request-head.ts";
import { type NamedSession, sessionKey, sessionOf } from "./session-key.ts";

/** What was read of a prompt. */
export interface PromptFacts extends PromptBlocks {
  /** A hash of what should stay on one node, or null. */
  readonly key: number | null;
  /** The session that is named, or null. */
  readonly session: NamedSession | null;
}

/** @param head Of `body`; null when that is no JSON. */
export type ReadPrompt = (
  headers: Headers,
  body: Uint8Array,
  head: RequestHead | null,
) => PromptFacts;

/** @param sessionHeaders Headers that name a session, before those that are known. */
export function promptReader(
  needs: ReadonlySet<"prompt" | "key" | "session">,
  sessionHeaders: readonly string[],
  hash: Hash,
): ReadPrompt {
  const wantsBlocks = needs.has("prompt");
  const wantsKey = needs.has("key");
  const wantsSession = needs.has("session");
  return (headers, body, head) => {
    const prompt = wantsBlocks && head !== null ? promptBlocks(body, head, hash) : null;
    const read = { headers, body, head };
    const key = wantsKey ? sessionKey(read, sessionHeaders, hash) : null;
    const session = wantsSession ? sessionOf(read, sessionHeaders, hash) : null;
    const { promptBytes, blocks, blockEnds } = prompt ?? NO_PROMPT;
    return {
      promptBytes: prompt === null ? body.length : promptBytes,
      blocks,
      blockEnds,
      key,
      session,
    };
  };
}
