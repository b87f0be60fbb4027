/** What the outcome of a request says of its node. */
import type { Answered, Lease, Outcome } from "./lease.ts";
import { type Length, lengthOf } from "./lengths.ts";
import { isBadAnswer, passesTrial } from "./statuses.ts";
import type { Doubt } from "./trials.ts";

/** It ran no model, and was answered. */
export function isLookup({ asked }: Lease, outcome: Outcome): boolean {
  return asked.kept === "lookup" && outcome.kind === "answered" && !isBadAnswer(outcome.status);
}

/** How long the answer was; null when there was none that is whole and good, or nothing tells. */
export function lengthIn(outcome: Outcome): Length | null {
  const isGood = outcome.kind === "answered" && outcome.status === 200;
  return isGood ? lengthOf(outcome.saidTokens ?? null) : null;
}

/**
 * Whether what a node is out for is no more; null when the answer does not tell, and `short` when that depends
 * on whether its peers, too, give hardly any but short answers.
 */
export function passes(answer: Answered, doubt: Doubt): boolean | "short" | null {
  const passed = passesTrial(answer.status, doubt);
  if (doubt !== "short" || !passed) return passed;
  const length = lengthIn(answer);
  return length === null || length === "short" ? length : true;
}
