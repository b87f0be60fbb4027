import type { Knowledge } from "../pool/candidates.ts";
import type { Need } from "../strategies/strategy.ts";
import { PromptKnowledge } from "./prompt-knowledge.ts";
import { Sessions } from "./sessions.ts";

export interface Needed {
  readonly knowledge: readonly Knowledge[];
  /** Null where no strategy keeps sessions. */
  readonly sessions: Sessions | null;
}

/** What strategies need to be learned; what none of them needs costs nothing. */
export function neededBy(
  needs: ReadonlySet<Need>,
  now: () => number,
  sessionTimeoutMs: number,
): Needed {
  const sessions = needs.has("session") ? new Sessions({ now, idleMs: sessionTimeoutMs }) : null;
  const prompts = needs.has("prompt") ? [new PromptKnowledge(now)] : [];
  return { knowledge: sessions === null ? prompts : [...prompts, sessions], sessions };
}
