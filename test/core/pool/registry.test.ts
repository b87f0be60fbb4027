import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Node } from "../../../src/core/pool/node.ts";
import type { RegistryListener } from "../../../src/core/pool/registry-listener.ts";
import {
  answered,
  CANCELLED,
  Cluster,
  LOST,
  MODEL,
  OK,
  REFUSED,
} from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

/** Writes down what listeners hear, in order. */
function listen(cluster: Cluster): string[] {
  const heard: string[] = [];
  const note = (what: string) => (node: Node) => heard.push(`${what} ${node.url.slice(7)}`);
  const listener: Required<RegistryListener> = {
    nodeAdded: note("added"),
    nodeRemoved: note("removed"),
    nodeRestarted: note("restarted"),
    probeWanted: note("probe"),
    stateChanged: (node, from, to) => heard.push(`${node.url.slice(7)} ${from} → ${to}`),
    leaseStarted: ({ node }) => heard.push(`started ${node.url.slice(7)}`),
    firstByte: ({ node }) => heard.push(`first byte ${node.url.slice(7)}`),
    leaseEnded: ({ node }, { kind }) => heard.push(`ended ${node.url.slice(7)} ${kind}`),
    membershipChanged: () => heard.push("members"),
    said: () => {},
  };
  cluster.registry.subscribe(listener);
  return heard;
}

describe("registering", () => {
  test("a node is there at once, is probed, and not routable before", () => {
    const cluster = new Cluster();
    const heard = listen(cluster);
    const node = cluster.register("n0", { speed: 2 });
    expect(node.health.state).toBe("starting");
    expect(cluster.acquire()).toBe("starting");
    expect(heard).toEqual(["added n0", "members", "probe n0"]);
    cluster.pass(node);
    expect(cluster.lease().node).toBe(node);
  });

  test("the same URL again is the same node: its requests are kept, its models and role replaced", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.send(node, OK);
    const lease = cluster.lease();
    cluster.registry.membership.discovered(node, ["adapter"]);
    const heard = listen(cluster);
    const again = cluster.register("n0", { models: ["other"], role: "Prefill", speed: 3 });
    expect(again).toBe(node);
    expect(cluster.registry.nodes()).toEqual([node]);
    expect({ inFlight: node.inFlight, latencies: node.latencies.toArray() }).toEqual({
      inFlight: 1,
      latencies: [0],
    });
    expect({ models: node.models, role: node.role, speed: node.speed }).toEqual({
      models: ["other"],
      role: "Prefill",
      speed: 3,
    });
    expect(cluster.acquire()).toBe("unknown_model");
    expect(heard).toEqual(["restarted n0", "members", "probe n0"]);
    lease.end(OK);
    expect(node.inFlight).toBe(0);
  });

  test("again after it had failed: it has to pass a probe first", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.refuse(node);
    cluster.register("n0");
    expect(cluster.acquire()).toBe("returning");
    cluster.pass(node);
    expect(cluster.lease().lastResort).toBe(false);
  });

  test("again ends draining, once it has passed a probe", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.registry.membership.drain(node.url);
    expect(cluster.acquire()).toBe("unavailable");
    const heard = listen(cluster);
    cluster.register("n0");
    expect(cluster.acquire()).toBe("returning");
    cluster.pass(node);
    expect(cluster.lease().node).toBe(node);
    expect(heard).toContain("n0 draining → starting");
  });
});

describe("draining and removing", () => {
  test("a draining node keeps its requests and gets no new ones", () => {
    const cluster = new Cluster({ nodes: 2 });
    const [first, second] = [cluster.node("n0"), cluster.node("n1")];
    const lease = cluster.leaseOn(first);
    expect(cluster.registry.membership.drain(first.url)).toBe(first);
    for (let i = 0; i < 10; i += 1) expect(cluster.lease().node).toBe(second);
    lease.end(OK);
    expect(first.inFlight).toBe(0);
    expect(cluster.registry.membership.drain("http://unknown")).toBeUndefined();
  });

  test("a removed node's requests finish and are counted to the end", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    const lease = cluster.lease();
    const heard = listen(cluster);
    expect(cluster.registry.membership.remove(node.url)).toBe(node);
    expect(cluster.registry.membership.remove(node.url)).toBeUndefined();
    expect(cluster.registry.nodes()).toEqual([]);
    expect(cluster.acquire()).toBe("unknown_model");
    expect(cluster.registry.nodesInUse()).toEqual([node]);
    lease.end(OK);
    expect(cluster.registry.nodesInUse()).toEqual([]);
    expect(heard).toEqual(["removed n0", "members", "ended n0 answered"]);
  });

  test("removed and registered again with requests running: the same node, and not trusted unseen", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    const lease = cluster.lease();
    cluster.registry.membership.remove(node.url);
    const heard = listen(cluster);
    expect(cluster.register("n0")).toBe(node);
    expect(node.inFlight).toBe(1);
    expect(cluster.registry.nodesInUse()).toEqual([node]);
    expect(cluster.acquire()).toBe("returning");
    expect(heard).toContain("added n0");
    lease.end(OK);
    expect(cluster.registry.nodesInUse()).toEqual([node]);
  });

  test("removed and registered again without requests: a new node", () => {
    const cluster = new Cluster({ nodes: 1 });
    const node = cluster.node("n0");
    cluster.registry.membership.remove(node.url);
    expect(cluster.register("n0")).not.toBe(node);
  });
});

describe("models", () => {
  test("are those registered and those discovered, each once", () => {
    const cluster = new Cluster();
    const node = cluster.join("n0", { models: ["a", "b"] });
    cluster.join("n1", { models: ["b"], role: "Prefill" });
    const heard = listen(cluster);
    cluster.registry.membership.discovered(node, ["b", "c"]);
    cluster.registry.membership.discovered(node, ["b", "c"]);
    expect(heard).toEqual(["members"]);
    expect(cluster.registry.models()).toEqual(["a", "b", "c"]);
    expect(["a", "c", "d"].map((model) => cluster.registry.serves(model))).toEqual([
      true,
      true,
      false,
    ]);
    cluster.registry.membership.discovered(node, []);
    expect(cluster.registry.serves("c")).toBe(false);
  });

  test("a node serves its models in its role alone", () => {
    const cluster = new Cluster();
    const hybrid = cluster.join("n0", { models: ["a"] });
    const prefill = cluster.join("n1", { models: ["a", "b"], role: "Prefill" });
    expect(cluster.registry.serving("a", "Hybrid")).toEqual([hybrid]);
    expect(cluster.registry.serving("a", "Prefill")).toEqual([prefill]);
    expect(cluster.registry.serving("b", "Hybrid")).toEqual([]);
    expect(cluster.registry.serving(null, "Prefill")).toEqual([prefill]);
    expect(cluster.registry.serves("b")).toBe(true);
  });

  test("a model called like a role or like no model is a model like others", () => {
    const cluster = new Cluster();
    const node = cluster.join("n0", { models: ["Hybrid", "null", ""] });
    cluster.join("n1", { models: ["x"] });
    for (const model of ["Hybrid", "null", ""]) {
      expect(cluster.registry.serving(model, "Hybrid")).toEqual([node]);
    }
  });
});

describe("listeners", () => {
  test("hear of every change, after it", () => {
    const cluster = new Cluster({ nodes: 2 });
    const node = cluster.node("n0");
    const heard = listen(cluster);
    cluster.refuse(node);
    cluster.refuse(node);
    cluster.pass(node);
    cluster.send(node, CANCELLED);
    cluster.send(node, answered(404));
    cluster.send(node, LOST);
    expect(heard).toEqual([
      "n0 healthy → unhealthy",
      "restarted n0",
      "n0 unhealthy → healthy",
      "started n0",
      "ended n0 cancelled",
      "started n0",
      "ended n0 answered",
      "started n0",
      "n0 healthy → unhealthy",
      "probe n0",
      "ended n0 lost",
    ]);
  });

  test("hear no more once they have ended that", () => {
    const cluster = new Cluster({ nodes: 1 });
    let heard = 0;
    const end = cluster.registry.subscribe({ probeWanted: () => (heard += 1) });
    cluster.send(cluster.node("n0"), REFUSED);
    end();
    cluster.lease().end(REFUSED);
    expect(heard).toBe(1);
  });

  test("see the lease gone when it has ended, and the client is told last", () => {
    const cluster = new Cluster({ nodes: 1 });
    const order: string[] = [];
    const lease = cluster.lease();
    lease.heldBy = { drop: () => order.push("owner") };
    cluster.registry.subscribe({
      leaseEnded: ({ node, outcome }) => order.push(`${node.inFlight} ${outcome?.kind}`),
    });
    lease.end(OK);
    lease.end(LOST);
    expect(order).toEqual(["0 answered", "owner"]);
  });

  test("one that throws keeps nobody from being told, and is reported once", () => {
    const cluster = new Cluster({ nodes: 2 });
    const mistake = () => {
      throw new Error("a listener's mistake");
    };
    cluster.registry.subscribe({
      leaseEnded: mistake,
      probeWanted: mistake,
      stateChanged: mistake,
    });
    const heard = listen(cluster);
    let told = false;
    const lease = cluster.lease();
    lease.heldBy = { drop: () => (told = true) };
    lease.end(LOST);
    cluster.pass(lease.node);
    expect({ told, inFlight: lease.node.inFlight }).toEqual({ told: true, inFlight: 0 });
    const name = lease.node.url.slice(7);
    expect(heard).toEqual([
      `started ${name}`,
      `${name} healthy → unhealthy`,
      `probe ${name}`,
      `ended ${name} lost`,
    ]);
    expect(cluster.listenerErrors).toEqual([new Error("a listener's mistake")]);
  });
});

test("what is not asked for by name is not served: no model, no node", () => {
  const cluster = new Cluster();
  expect(cluster.acquire()).toBe("unknown_model");
  expect(cluster.acquire({ model: null })).toBe("unknown_model");
  cluster.join("n0", { models: [] });
  expect(cluster.acquire({ model: MODEL })).toBe("unknown_model");
  expect(cluster.lease({ model: null }).node.url).toBe("http://n0");
});
