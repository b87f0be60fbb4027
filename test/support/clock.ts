import type { Clock } from "../../src/core/clock.ts";

/** The time that passes, for parts that are tried without the rest. */
export const realClock: Clock = {
  now: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms, act) {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
  every(ms, act) {
    const timer = setInterval(act, ms);
    return () => clearInterval(timer);
  },
  soon: (act) => {
    setImmediate(act);
  },
};
