import type { Config } from "../config/serve-config.ts";
import { Admission } from "../core/admission/admission.ts";
import type { Places } from "../core/admission/places.ts";
import type { Clock } from "../core/clock.ts";
import { FailingNodes } from "../core/pool/failing-nodes.ts";
import type { Registry } from "../core/pool/registry.ts";
import { RetryBudgets } from "../core/retry.ts";
import { Deadlines } from "../upstream/deadlines.ts";
import type { PinnedFetch } from "../upstream/pinned-fetch.ts";
import type { Upstream } from "../upstream/send.ts";
import { TcpCheck } from "../upstream/tcp-check.ts";

/** What sends requests to engines. @param places Where they are shared with other processes. */
export function createUpstream(
  config: Config,
  registry: Registry,
  pinned: PinnedFetch,
  { isWell, stillServes, find }: Pick<Upstream, "isWell" | "stillServes" | "find">,
  clock: Clock,
  places: Places | undefined,
): Upstream {
  const tcp = new TcpCheck(clock.after);
  const deadlines = new Deadlines({
    clock: clock,
    nodesInUse: () => registry.nodesInUse(),
    reachable: (url, limitMs) =>
      pinned.reachable(url, limitMs, (at, withinMs) => tcp.reachable(at, withinMs)),
    connecting: (url) => tcp.connecting(url),
    limits: {
      connectMs: config.connectTimeoutMs,
      firstByteMs: config.firstByteTimeoutMs,
      idleMs: config.idleTimeoutMs,
      totalMs: config.timeoutMs,
    },
  });
  return {
    ...clock,
    registry,
    fetch: pinned.fetch,
    isWell,
    stillServes,
    find,
    failing: new FailingNodes(clock.now),
    admission: new Admission(registry, {
      maxConcurrency: config.maxConcurrency ?? Number.POSITIVE_INFINITY,
      maxPerClient: config.maxConcurrencyPerClient ?? Number.POSITIVE_INFINITY,
      queueSize: config.queueSize,
      queueTimeoutMs: config.queueTimeoutMs,
      after: clock.after,
      ...(places === undefined ? {} : { places }),
    }),
    deadlines,
    budgets: new RetryBudgets(clock.now),
    retryRules: { retry: config.retry, retrySent: config.retrySent },
  };
}
