import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import {
  answered,
  CANCELLED,
  Cluster,
  LOST,
  OK,
  REFUSED,
  TIMEOUT,
} from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

/** Two bad answers eject a node, where the others of its model allow it. */
function ejectForAnswers(cluster: Cluster, node: Node): void {
  cluster.send(node, answered(500));
  cluster.send(node, answered(500));
  expect(node.health.state).toBe("unhealthy");
}

/** The nodes that 40 requests go to, each ended at once. */
function chosen(cluster: Cluster): Set<string> {
  const urls = Array.from({ length: 40 }, () => {
    const lease = cluster.lease();
    lease.end(CANCELLED);
    return lease.node.url;
  });
  return new Set(urls);
}

describe("who gets a request", () => {
  test("healthy nodes, and no others as long as there is one", () => {
    const cluster = new Cluster({ nodes: 6 });
    cluster.refuse(cluster.node("n0"));
    cluster.registry.learning.probed(cluster.node("n1"), { kind: "sleeping" }, false);
    cluster.registry.membership.drain("http://n2");
    cluster.send(cluster.node("n3"), answered(503));
    cluster.register("n6");
    expect(chosen(cluster)).toEqual(new Set(["http://n4", "http://n5"]));
  });

  test("never one that was tried already", () => {
    const cluster = new Cluster({ nodes: 3 });
    const tried = new Set<Node>();
    for (let i = 0; i < 3; i += 1) {
      const { node } = cluster.lease({ tried });
      expect(tried.has(node)).toBe(false);
      tried.add(node);
    }
    expect(cluster.acquire({ tried })).toBe("unavailable");
  });

  test("only those among which it is to be chosen", () => {
    const cluster = new Cluster({ nodes: 3 });
    const second = cluster.node("n1");
    const among = (node: Node) => node === second;
    for (let i = 0; i < 5; i += 1) expect(cluster.lease({ among }).node).toBe(second);
    cluster.refuse(second);
    expect(cluster.acquire({ among })).toBe("unavailable");
  });

  test("the strategy decides among them, and what it decides is reserved at once", () => {
    const cluster = new Cluster({ nodes: 4 });
    for (let i = 0; i < 40; i += 1) cluster.lease();
    expect(cluster.registry.nodes().map((node) => node.inFlight)).toEqual([10, 10, 10, 10]);
  });

  test("picking reserves nothing", () => {
    const cluster = new Cluster({ nodes: 1 });
    const tried = new Set<Node>();
    const wanted = { model: "m", role: "Hybrid", asked: NOTHING_ASKED, tried } as const;
    expect(cluster.registry.pick(wanted)).toMatchObject({ node: cluster.node("n0") });
    expect(cluster.node("n0").inFlight).toBe(0);
    expect(cluster.registry.pick({ ...wanted, model: "x" })).toBe("unknown_model");
  });
});

describe("limits per node", () => {
  test("a full node is left out, all full is full", () => {
    const cluster = new Cluster({ nodes: 2, maxInFlightPerNode: 2 });
    const leases = Array.from({ length: 4 }, () => cluster.lease());
    expect(cluster.acquire()).toBe("full");
    leases[0]?.end(OK);
    expect(cluster.lease().node).toBe(leases[0]?.node ?? cluster.node("none"));
    expect(cluster.acquire()).toBe("full");
  });

  test("no retry is worth waiting for a full node, but it is told from none", () => {
    const cluster = new Cluster({ nodes: 2, maxInFlightPerNode: 1 });
    const first = cluster.lease();
    const second = cluster.lease({ tried: new Set([first.node]) });
    expect(cluster.acquire({ tried: new Set([first.node]) })).toBe("full");
    second.end(OK);
    expect(cluster.acquire({ tried: new Set([first.node]) })).toBeInstanceOf(Lease);
  });

  test("hold for a trial too", () => {
    const cluster = new Cluster({ nodes: 2, maxInFlightPerNode: 1 });
    ejectForAnswers(cluster, cluster.node("n0"));
    cluster.refuse(cluster.node("n1"));
    // As a last resort both get one.
    const leases = [cluster.lease(), cluster.lease()];
    cluster.time.advance(1_000);
    expect(cluster.acquire()).toBe("full");
    // Nor does one keep anybody from the other, which is out, but has a place.
    const [onTrial, elsewhere] = [cluster.node("n0"), cluster.node("n1")];
    leases.find(({ node }) => node === elsewhere)?.end(CANCELLED);
    const another = cluster.lease();
    expect([another.node, another.lastResort]).toEqual([elsewhere, true]);
    for (const lease of [...leases, another]) lease.end(CANCELLED);
    const trial = cluster.lease();
    expect([trial.node, trial.trial]).toEqual([onTrial, true]);
  });

  test("hold in a last resort too", () => {
    const cluster = new Cluster({ nodes: 1, maxInFlightPerNode: 1 });
    cluster.refuse(cluster.node("n0"));
    const lease = cluster.lease();
    expect(lease.lastResort).toBe(true);
    expect(cluster.acquire()).toBe("full");
    // There may be a place sooner than another node, which is not waited for as long.
    cluster.register("n1");
    expect(cluster.acquire()).toBe("full");
  });
});

describe("when no node is routable", () => {
  test.each<[string, (cluster: Cluster) => void]>([
    ["ejected by probes", (cluster) => cluster.refuse(cluster.node("n0"))],
    ["refused to a request", (cluster) => cluster.send(cluster.node("n0"), REFUSED)],
    ["passed over", (cluster) => cluster.send(cluster.node("n0"), answered(503))],
  ])("one that is %s is tried as a last resort", (_what, takeOut) => {
    const cluster = new Cluster({ nodes: 1 });
    takeOut(cluster);
    const lease = cluster.lease();
    expect({ lastResort: lease.lastResort, trial: lease.trial }).toEqual({
      lastResort: true,
      trial: false,
    });
  });

  test("all of them are tried, not only one", () => {
    const cluster = new Cluster({ nodes: 3 });
    for (const node of cluster.registry.nodes()) cluster.refuse(node);
    expect(chosen(cluster).size).toBe(3);
  });

  test("the only one that a request can go to is tried, and no other, also while one waits for its trial", () => {
    const cluster = new Cluster({ nodes: 2 });
    ejectForAnswers(cluster, cluster.node("n0"));
    cluster.refuse(cluster.node("n1"));
    const only = cluster.node("n1");
    for (let nth = 0; nth < 4; nth += 1) {
      const lease = cluster.lease({ only });
      expect([lease.node, lease.lastResort]).toEqual([only, true]);
      cluster.time.advance(500);
    }
  });

  test("a request that was tried elsewhere has no last resort", () => {
    const cluster = new Cluster({ nodes: 2 });
    const { node } = cluster.lease();
    for (const one of cluster.registry.nodes()) cluster.refuse(one);
    expect(cluster.acquire({ tried: new Set([node]) })).toBe("unavailable");
  });

  test("nodes that start, sleep or drain are never tried", () => {
    const cluster = new Cluster({ nodes: 3 });
    cluster.registry.learning.probed(cluster.node("n0"), { kind: "sleeping" }, false);
    cluster.registry.membership.drain("http://n1");
    cluster.refuse(cluster.node("n2"));
    expect(chosen(cluster)).toEqual(new Set(["http://n2"]));
    cluster.registry.membership.remove("http://n2");
    expect(cluster.acquire()).toBe("unavailable");
    cluster.register("n3");
    expect(cluster.acquire()).toBe("starting");
  });
});

describe("a node ejected for its answers", () => {
  function ejected(): { cluster: Cluster; node: Node } {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    ejectForAnswers(cluster, node);
    return { cluster, node };
  }

  test("gets one request when its wait is over, and no second beside it", () => {
    const { cluster, node } = ejected();
    cluster.time.advance(999);
    expect(chosen(cluster)).toEqual(new Set(["http://n1"]));
    cluster.time.advance(1);
    const trial = cluster.lease();
    expect({ node: trial.node, trial: trial.trial, lastResort: trial.lastResort }).toEqual({
      node,
      trial: true,
      lastResort: false,
    });
    expect(chosen(cluster)).toEqual(new Set(["http://n1"]));
  });

  test.each([200, 204, 302, 400, 404, 422])("is back when that is answered with %d", (status) => {
    const { cluster, node } = ejected();
    cluster.time.advance(1_000);
    cluster.lease().end(answered(status));
    expect(node.health.state).toBe("healthy");
    expect(node.health.warm(cluster.time.nowMs)).toBe(0);
  });

  test.each<[string, Parameters<Lease["end"]>[0]]>([
    ["500", answered(500)],
    ["501", answered(501)],
    ["503", answered(503)],
    ["429", answered(429)],
    ["a lost connection", LOST],
    ["a time-out", TIMEOUT],
  ])("waits twice as long after %s", (_what, outcome) => {
    const { cluster, node } = ejected();
    cluster.time.advance(1_000);
    cluster.lease().end(outcome);
    expect(node.health.state).toBe("unhealthy");
    cluster.time.advance(1_999);
    expect(cluster.lease().trial).toBe(false);
    cluster.time.advance(1);
    expect(cluster.lease().trial).toBe(true);
  });

  test("gets another trial at once when the client of the first has left", () => {
    const { cluster } = ejected();
    cluster.time.advance(1_000);
    cluster.lease().end(CANCELLED);
    expect(cluster.lease().trial).toBe(true);
  });

  test("is back at the head of a good answer: its stream may run for minutes", () => {
    const { cluster, node } = ejected();
    cluster.time.advance(1_000);
    const trial = cluster.lease();
    trial.answering(200);
    expect(node.health.state).toBe("healthy");
    trial.end(OK);
    expect(node.health.state).toBe("healthy");
  });

  test("is not back at the head of a bad one", () => {
    const { cluster, node } = ejected();
    cluster.time.advance(1_000);
    const trial = cluster.lease();
    trial.answering(500);
    expect(node.health.state).toBe("unhealthy");
    trial.end(answered(500));
    cluster.time.advance(1_999);
    expect(cluster.lease().trial).toBe(false);
  });

  test("other requests that still run on it decide nothing about a trial", () => {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    const older = [cluster.leaseOn(node), cluster.leaseOn(node), cluster.leaseOn(node)];
    ejectForAnswers(cluster, node);
    cluster.time.advance(1_000);
    const trial = cluster.lease();
    older[0]?.end(CANCELLED);
    older[1]?.end(TIMEOUT);
    older[2]?.end(OK);
    expect(node.health.state).toBe("unhealthy");
    expect(cluster.lease().trial).toBe(false);
    trial.end(OK);
    expect(node.health.state).toBe("healthy");
  });

  test("a retry is no trial", () => {
    const { cluster, node } = ejected();
    cluster.time.advance(1_000);
    const other = new Set([cluster.node("n1")]);
    expect(cluster.acquire({ tried: other })).toBe("unavailable");
    expect(cluster.lease().node).toBe(node);
  });
});
