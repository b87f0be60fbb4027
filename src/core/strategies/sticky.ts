import type { Candidate, Strategy } from "./strategy.ts";

/** A node with more in flight than this many times what the others have on average, and `SLACK` more, is overloaded. */
const BOUND = 1.5;
/** Some requests of one session at once are no load that anybody minds. */
const SLACK = 4;

/**
 * A session stays on the node that had it, whatever `over` would say, unless that is out, full or clearly
 * overloaded: also when all the world sends one key. `over` chooses for a session that has no node, and
 * for requests of none.
 */
export function sticky(over: Strategy): Strategy {
  const strategy: Strategy = (asked, candidates, random, note) => {
    const home =
      asked.session === null ? undefined : candidates.find((candidate) => candidate.home === 1);
    if (home !== undefined && !isOverloaded(home, candidates)) return home;
    return over(asked, candidates, random, note);
  };
  strategy.needs = [...new Set([...(over.needs ?? []), "session" as const])];
  return strategy;
}

function isOverloaded(home: Candidate, candidates: readonly Candidate[]): boolean {
  let load = 0;
  let weights = 0;
  for (const candidate of candidates) {
    if (candidate === home) continue;
    load += candidate.load;
    weights += candidate.weight;
  }
  if (weights === 0) return false;
  return home.load + 1 > (BOUND * load * home.weight) / weights + SLACK;
}
