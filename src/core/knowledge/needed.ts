import type { Knowledge } from "../pool/candidates.ts";
import type { Need } from "../strategies/strategy.ts";
import { PromptKnowledge } from "./prompt-knowledge.ts";
import { type KeptSessions, Sessions } from "./sessions.ts";

export interface Needed {
  readonly knowledge: readonly Knowledge[];
  /** One of them; null where no strategy needs it. */
  readonly prompts: PromptKnowledge | null;
  /** Null where no strategy keeps sessions. */
  readonly sessions: KeptSessions | null;
}

/**
 * What strategies need to be learned; what none of them needs costs nothing.
 * @param shared Sessions, where other processes keep them, too.
 */
export function neededBy(
  needs: ReadonlySet<Need>,
  now: () => number,
  sessionTimeoutMs: number,
  shared: KeptSessions | null = null,
): Needed {
  const own = () => new Sessions({ now, idleMs: sessionTimeoutMs });
  const sessions = needs.has("session") ? (shared ?? own()) : null;
  const prompts = needs.has("prompt") ? new PromptKnowledge(now) : null;
  return { knowledge: [prompts, sessions].filter((one) => one !== null), prompts, sessions };
}
