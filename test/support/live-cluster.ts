/** What the live page is told of a cluster in virtual time. */
import { COMPLETE, type Exchange, Exchanges } from "../../src/core/exchange.ts";
import type { Lease } from "../../src/core/pool/lease.ts";
import { Cluster, MODEL, OK } from "../../src/lab/cluster.ts";
import { Live } from "../../src/observe/live.ts";
import { OwnFacts } from "../../src/observe/live-facts.ts";
import { Metrics } from "../../src/observe/metrics.ts";

/** A request that runs. */
export interface Running {
  readonly exchange: Exchange;
  readonly lease: Lease;
  /** It is answered, in so many pieces. */
  end(pieces?: number): void;
}

export function liveCluster(nodes: number) {
  const cluster = new Cluster({ nodes });
  const { time, registry } = cluster;
  const exchanges = new Exchanges({
    now: time.now,
    report: (error) => {
      throw error;
    },
  });
  const wallMs = () => 1_795_000_000_000 + time.nowMs;
  const metrics = new Metrics(registry, { now: time.now, wallMs });
  exchanges.subscribe(metrics.ended);
  const every = (ms: number, act: () => void) => {
    let isOver = false;
    const again = () => {
      if (isOver) return;
      time.after(ms, again);
      act();
    };
    time.after(ms, again);
    return () => {
      isOver = true;
    };
  };
  const own = new OwnFacts({
    registry,
    exchanges,
    metrics,
    clock: { now: time.now, wallMs },
    waiting: () => 0,
    leaving: () => false,
  });
  exchanges.subscribe(own.ended);
  const live = new Live({
    registry,
    facts: own.facts,
    sinceMs: (node) => metrics.of(node).sinceMs,
    clock: { now: time.now, wallMs, every },
    about: { version: "1.2.3", strategy: "random", mode: "Hybrid", needed: ["Hybrid"] },
    metricsIntervalMs: 5_000,
    pairsOf: () => ({ pairs: 0, openSessions: 0 }),
  });
  live.start();
  let requests = 0;
  return {
    cluster,
    exchanges,
    metrics,
    live,
    /** A request to `node`, or to whichever. */
    send(node?: string): Running {
      requests += 1;
      const exchange = exchanges.begin(`request-${requests}`, new Request("http://proxy/x"), "/x");
      exchange.model = MODEL;
      exchange.admitted();
      const lease = node === undefined ? cluster.lease() : cluster.leaseOn(cluster.node(node));
      exchange.attempt(lease);
      return {
        exchange,
        lease,
        end(pieces = 3) {
          for (let piece = 0; piece < pieces; piece += 1) {
            lease.piece(time.nowMs);
            exchange.piece(100, time.nowMs);
          }
          exchange.head(200);
          lease.end(OK);
          exchange.end(COMPLETE);
        },
      };
    },
  };
}

export type LiveCluster = ReturnType<typeof liveCluster>;
