/** Nodes that were out for their answers and of which nobody has asked anything since: a probe stands for them. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Wanted } from "../../../src/core/pool/choose.ts";
import { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { type Doubt, QUIET_MS } from "../../../src/core/pool/trials.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { answered, Cluster, LOST, MODEL, OK } from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

test("a node that another process took out is out, although nothing was asked of it here", () => {
  const cluster = new Cluster({ nodes: 2 });
  const node = cluster.node("n0");
  cluster.registry.learning.doubted(node, "answers", "answered a request with 500");
  cluster.pass(node);
  expect(node.health.state).toBe("unhealthy");
  cluster.time.advance(QUIET_MS + 1);
  cluster.pass(node);
  expect(node.health.state).toBe("healthy");
});

function hasAnother({ registry }: Cluster, tried: Pick<Wanted, "tried" | "hasAnswer">): boolean {
  return registry.hasAnother({ model: MODEL, role: "Hybrid", asked: NOTHING_ASKED, ...tried });
}

describe("nodes on parole", () => {
  /** Two workers have taken one out each, and then it was quiet. */
  function onParole(why: Doubt = "answers", cluster: Cluster = new Cluster({ nodes: 2 })): Cluster {
    const nodes = cluster.registry.nodes();
    for (const node of nodes) cluster.registry.learning.doubted(node, why, "so it is");
    cluster.time.advance(QUIET_MS + 1);
    for (const node of nodes) cluster.pass(node);
    expect(nodes.map(({ health }) => health.state)).toEqual(["healthy", "healthy"]);
    return cluster;
  }

  test("have a request one after the other", () => {
    const cluster = onParole();
    const first = cluster.lease();
    first.end(answered(500));
    const tried = new Set([first.node]);
    const second = cluster.lease({ tried });
    expect([first.trial, second.trial]).toEqual([true, true]);
    second.end(OK);
    expect(second.node.health.doubt).toBeNull();
  });

  test("have none that a good one can have", () => {
    const cluster = onParole();
    const tried = new Set([cluster.lease().node]);
    const good = cluster.join("good");
    expect(cluster.lease({ tried }).node).toBe(good);
  });

  test("have none that cannot go there", () => {
    const cluster = onParole();
    const first = cluster.lease();
    first.end(answered(500));
    const among = (node: Node) => node === first.node;
    expect(cluster.acquire({ tried: new Set([first.node]), among })).toBe("unavailable");
  });

  test("have no more at once than any, those from before included", () => {
    const cluster = new Cluster({ nodes: 2, maxInFlightPerNode: 1 });
    const [old, long] = [cluster.lease(), cluster.lease()];
    onParole("answers", cluster);
    old.end(OK);
    const first = cluster.lease();
    first.end(answered(500));
    expect([first.node, first.trial]).toEqual([old.node, true]);
    expect(cluster.acquire({ tried: new Set([first.node]) })).toBe("unavailable");
    expect(long.node.inFlight).toBe(1);
  });

  test("are nothing to wait for by whom one has failed, while the other decides about another", () => {
    const cluster = onParole();
    const first = cluster.lease();
    const other = cluster.lease();
    first.end(answered(500));
    expect(other.node).not.toBe(first.node);
    const tried = new Set([first.node]);
    expect(cluster.acquire({ tried })).toBe("unavailable");
    expect(hasAnother(cluster, { tried })).toBe(false);
  });

  test.each([
    ["answers", true, "tried"],
    ["refused", true, "tried"],
    ["short", true, "tried"],
    // An error or a refusal is better than a wait without end.
    ["late", true, "left alone"],
    ["stalled", true, "left alone"],
    // Its client's next try would go there: this one may as well.
    ["late", false, "tried"],
    ["stalled", false, "tried"],
  ] as const)(
    "out as %s, for one that has an answer from elsewhere (%p), are %s",
    (why, hasAnswer, what) => {
      const cluster = onParole(why);
      const first = cluster.lease();
      first.end(hasAnswer ? answered(503) : LOST);
      const tried = new Set([first.node]);
      // A retry is not taken from the budget for one that is left alone.
      expect(hasAnother(cluster, { tried, hasAnswer })).toBe(what === "tried");
      const next = cluster.acquire({ tried, hasAnswer });
      expect(next instanceof Lease ? "tried" : "left alone").toBe(what);
    },
  );
});
