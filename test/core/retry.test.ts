import { describe, expect, test } from "bun:test";
import { isRetriable, type RetryRules, RetryState } from "../../src/core/retry.ts";

const ALL: RetryRules = { retry: true, retrySent: true };
const NONE: RetryRules = { retry: false, retrySent: true };
const NO_SENT: RetryRules = { retry: true, retrySent: false };

/**
 * What a request may do after each of its attempts: `free` for another one, `drawn` for one from the
 * budget, `no` for none.
 * @param attempts How they ended: `refused`, `lost`, `timeout`, `broken`, `doubted` (a refusal of a node in doubt),
 * `empty` (its answer that holds nothing), or a status.
 */
function granted(attempts: string, rules: RetryRules, budgetLeft = true): string {
  let draws = 0;
  const state = new RetryState(rules, () => {
    draws += 1;
    return budgetLeft;
  });
  const grants = attempts.split(" ").map((attempt) => {
    draws = 0;
    const may = mayFollow(state, attempt);
    expect(draws).toBeLessThanOrEqual(1);
    if (!may) return "no";
    return draws === 0 ? "free" : "drawn";
  });
  return grants.join(" ");
}

function mayFollow(state: RetryState, attempt: string): boolean {
  if (attempt === "doubted" || attempt === "empty") return state.afterDoubt(attempt === "empty");
  const status = Number(attempt);
  return Number.isNaN(status) ? state.afterFailure(kindOf(attempt)) : state.afterStatus(status);
}

function kindOf(attempt: string): "refused" | "lost" | "timeout" | "broken" {
  if (attempt === "refused" || attempt === "lost" || attempt === "timeout") return attempt;
  if (attempt === "broken") return attempt;
  throw new Error(`no such end of an attempt: ${attempt}`);
}

describe("after each attempt", () => {
  test.each([
    // The first after a lost or refused connection is free, a second one if it never reached an engine.
    ["refused", "free"],
    ["lost", "free"],
    ["broken", "free"],
    ["refused refused", "free free"],
    ["refused refused refused", "free free no"],
    // What was sent is sent again once at most.
    ["lost lost", "free no"],
    ["lost refused", "free drawn"],
    ["lost refused refused", "free drawn no"],
    ["refused lost", "free drawn"],
    ["refused lost lost", "free drawn no"],
    // Two elsewhere after 429 or 503.
    ["503", "free"],
    ["429 503", "free free"],
    ["503 429 503", "free free no"],
    ["refused 503 503", "free free free"],
    ["lost 503", "free free"],
    // Everything else draws from the budget.
    ["500", "drawn"],
    ["500 500", "drawn no"],
    ["502 504", "drawn drawn"],
    ["502 504 502", "drawn drawn no"],
    ["timeout", "drawn"],
    ["timeout timeout timeout", "drawn drawn no"],
    ["500 502", "drawn drawn"],
    ["503 500", "free drawn"],
    ["200", "no"],
    ["301", "no"],
    ["400", "no"],
    // One elsewhere after a refusal that may be the engine's alone.
    ["401", "free"],
    ["403", "free"],
    ["404", "free"],
    ["404 401", "free no"],
    ["503 404", "free free"],
    // One of a node in doubt, and what may have been computed no more than twice.
    ["doubted", "drawn"],
    ["doubted doubted", "drawn no"],
    ["doubted 404", "drawn no"],
    ["doubted lost", "drawn free"],
    ["empty", "drawn"],
    ["empty lost", "drawn no"],
    ["lost empty", "free no"],
    ["408", "no"],
    ["501", "no"],
    ["505", "no"],
  ])("%s: %s", (attempts, grants) => {
    expect(granted(attempts, ALL)).toBe(grants);
  });

  test.each([
    ["refused refused", "free free"],
    ["lost", "free"],
    ["503 429", "free free"],
    ["lost refused", "free no"],
    ["refused lost", "free no"],
    ["500", "no"],
    ["502", "no"],
    ["504", "no"],
    ["timeout", "no"],
    ["doubted", "no"],
  ])("with the budget spent, %s: %s", (attempts, grants) => {
    expect(granted(attempts, ALL, false)).toBe(grants);
  });

  test.each(["refused", "lost", "timeout", "doubted", "empty", "429", "500", "502", "503", "504"])(
    "with --no-retry, %s: no",
    (attempt) => {
      expect(granted(attempt, NONE)).toBe("no");
    },
  );

  test.each([
    ["lost", "no"],
    ["timeout", "no"],
    ["refused refused", "free free"],
    ["refused lost", "free no"],
    ["503 429", "free free"],
    ["500", "drawn"],
    ["doubted", "drawn"],
    ["empty", "no"],
  ])("with --no-retry-sent, %s: %s", (attempts, grants) => {
    expect(granted(attempts, NO_SENT)).toBe(grants);
  });
});

test("a status is held back for another node exactly when a retry could be granted for it", () => {
  for (let status = 200; status < 600; status += 1) {
    const grant = granted(String(status), ALL);
    expect(`${status} ${isRetriable(status)}`).toBe(`${status} ${grant !== "no"}`);
  }
});
