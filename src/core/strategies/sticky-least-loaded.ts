import { minExpectedLatency } from "./min-expected-latency.ts";
import { sticky } from "./sticky.ts";
import { lowestCost, meanOf, type Strategy } from "./strategy.ts";

/** Less than any difference of sessions: of equal ones, the node with less in flight. */
const TIE = 1e-6;

/** The fewest sessions, by speed. A request of no session goes by load. */
const fewestSessions: Strategy = (asked, candidates, random, note) => {
  if (asked.session === null) return minExpectedLatency(asked, candidates, random, note);
  const meanSpeed = meanOf(candidates, ({ speed }) => speed, 1);
  return lowestCost(
    candidates,
    ({ sessions, load, speed, weight }) =>
      (sessions + 1 + TIE * load) / ((speed ?? meanSpeed) * weight),
    random,
    note,
  );
};

/** A session begins on the node with the fewest, and stays there. Requests of none go by load. */
export const stickyLeastLoaded: Strategy = sticky(fewestSessions);
