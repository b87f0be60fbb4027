/** What of a request's prompt the strategies in force want to know, and nothing more. */
import { type Hash, NO_PROMPT, type PromptBlocks, promptBlocks } from "./prompt-blocks.ts";
import type { RequestHead } from "./request-head.ts";
import { sessionKey } from "./session-key.ts";

/** What was read of a prompt. */
export interface PromptFacts extends PromptBlocks {
  /** A hash of what should stay on one node, or null. */
  readonly key: number | null;
}

/** @param head Of `body`; null when that is no JSON. */
export type ReadPrompt = (
  headers: Headers,
  body: Uint8Array,
  head: RequestHead | null,
) => PromptFacts;

/** @param needs `prompt`: its blocks. `key`: the session. */
export function promptReader(needs: ReadonlySet<"prompt" | "key">, hash: Hash): ReadPrompt {
  const wantsBlocks = needs.has("prompt");
  const wantsKey = needs.has("key");
  return (headers, body, head) => {
    const prompt = wantsBlocks && head !== null ? promptBlocks(body, head, hash) : null;
    const key = wantsKey ? sessionKey(headers, body, head, hash) : null;
    return { ...(prompt ?? { ...NO_PROMPT, promptBytes: body.length }), key };
  };
}
