/** Whose word a node's membership rests on. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import type { NamedNode } from "../../../src/core/pool/naming.ts";
import { Cluster } from "../../../src/lab/cluster.ts";
import { runs } from "../fuzz.ts";

setDefaultTimeout(60_000);

const FLAGS = { name: "flags", rank: 0 };
const DNS = { name: "dns", rank: 5 };

function named(name: string, more: Partial<NamedNode> = {}): NamedNode {
  return { url: `http://${name}`, role: "Hybrid", models: [], speed: null, enabled: true, ...more };
}

/** The names of the members, and how often the set was said to have changed. */
function watch({ registry }: Cluster) {
  let changes = 0;
  let probes = 0;
  registry.subscribe({
    membershipChanged: () => (changes += 1),
    probeWanted: () => (probes += 1),
  });
  return {
    names: () => registry.nodes().map(({ url }) => url.slice(7)),
    changes: () => changes,
    probes: () => probes,
  };
}

describe("a source says the whole set", () => {
  test("and what is missing from it leaves; a changed set is told once", () => {
    const cluster = new Cluster();
    const { names, changes, probes } = watch(cluster);
    const { membership } = cluster.registry;
    membership.says(DNS, [named("a"), named("b"), named("c")]);
    expect([names(), changes(), probes()]).toEqual([["a", "b", "c"], 1, 3]);
    const kept = cluster.node("b");
    membership.says(DNS, [named("b"), named("d")]);
    expect([names(), changes(), probes()]).toEqual([["b", "d"], 2, 4]);
    expect(cluster.node("b")).toBe(kept);
    membership.says(DNS, [named("d"), named("b")]);
    expect([changes(), probes()]).toEqual([2, 4]);
    membership.says(DNS, []);
    expect([names(), changes()]).toEqual([[], 3]);
  });

  test("other models or another speed are those of the same node, which goes on as it is", () => {
    const cluster = new Cluster();
    const { membership } = cluster.registry;
    membership.says(DNS, [named("a", { models: ["m"] })]);
    const node = cluster.node("a");
    cluster.pass(node);
    membership.says(DNS, [named("a", { models: ["n"], speed: 2 })]);
    expect(cluster.lease({ model: "n" }).node).toBe(node);
    expect(cluster.registry.serves("m")).toBe(false);
    expect({ speed: node.speed, generation: node.generation }).toEqual({ speed: 2, generation: 0 });
  });

  test("what it does not enable finishes what it has, and comes back by a probe", () => {
    const cluster = new Cluster();
    const { membership } = cluster.registry;
    membership.says(DNS, [named("a", { models: ["m"] })]);
    const node = cluster.node("a");
    cluster.pass(node);
    const lease = cluster.lease();
    membership.says(DNS, [named("a", { models: ["m"], enabled: false })]);
    expect(node.health.state).toBe("draining");
    expect(lease.outcome).toBeNull();
    membership.says(DNS, [named("a", { models: ["m"] })]);
    expect(node.health.state).toBe("starting");
    membership.says(DNS, [named("b", { enabled: false })]);
    expect(cluster.node("b").health.state).toBe("draining");
  });
});

describe("several that name one node", () => {
  test("it stays as long as one does, and is what the highest of them says", () => {
    const cluster = new Cluster();
    const { membership } = cluster.registry;
    const speed = () => cluster.registry.get("http://a")?.speed;
    membership.says(DNS, [named("a", { speed: 5 })]);
    membership.says(FLAGS, [named("a", { speed: 1 })]);
    expect(speed()).toBe(5);
    cluster.register("a", { speed: 9 });
    membership.says(DNS, [named("a", { speed: 6 })]);
    expect(speed()).toBe(9);
    membership.says(DNS, []);
    membership.says(FLAGS, []);
    expect(speed()).toBe(9);
    cluster.registry.membership.remove("http://a");
    expect(speed()).toBeUndefined();
  });

  test("in whatever order they speak, the same nodes come of it (property)", () => {
    const node = fc.record({ name: fc.constantFrom("a", "b", "c"), speed: fc.nat(3) });
    const said = fc.record({
      source: fc.constantFrom(FLAGS, DNS),
      nodes: fc.uniqueArray(node, { selector: ({ name }) => name, maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(said, { maxLength: 8 }), (words) => {
        const cluster = new Cluster();
        for (const { source, nodes } of words) {
          cluster.registry.membership.says(
            source,
            nodes.map(({ name, speed }) => named(name, { speed: speed + 1 })),
          );
        }
        const last = new Map(words.map(({ source, nodes }) => [source.name, nodes]));
        const expected = new Map<string, number>();
        for (const source of [FLAGS, DNS]) {
          for (const { name, speed } of last.get(source.name) ?? []) expected.set(name, speed + 1);
        }
        const members = cluster.registry.nodes();
        const found = new Map(members.map(({ url, speed }) => [url.slice(7), speed]));
        expect([...found].sort()).toEqual([...expected].sort());
        expect(cluster.registry.serving(null, "Hybrid").length).toBe(found.size);
        expect(new Set(members.map(({ slot }) => slot)).size).toBe(members.length);
        expect(members.every(({ slot }) => slot < 4)).toBe(true);
      }),
      runs(500),
    );
  });
});

describe("removed by hand", () => {
  test("it stays out, whoever goes on naming it, until somebody names it anew", () => {
    const cluster = new Cluster();
    const { names } = watch(cluster);
    const { membership } = cluster.registry;
    membership.says(FLAGS, [named("a")]);
    membership.says(DNS, [named("a"), named("b")]);
    membership.remove("http://a");
    expect(names()).toEqual(["b"]);
    membership.says(DNS, [named("b"), named("a")]);
    expect(names()).toEqual(["b"]);
    membership.says(DNS, [named("b")]);
    expect(names()).toEqual(["b"]);
    membership.says(DNS, [named("b"), named("a")]);
    expect(names()).toEqual(["b", "a"]);
    membership.remove("http://a");
    cluster.register("a");
    expect(names()).toEqual(["b", "a"]);
  });

  test("nothing is left of that once nobody names it any more", () => {
    const cluster = new Cluster();
    const { names } = watch(cluster);
    const { membership } = cluster.registry;
    membership.says(DNS, [named("a")]);
    membership.remove("http://a");
    membership.says(DNS, []);
    membership.says(FLAGS, [named("a")]);
    expect(names()).toEqual(["a"]);
  });
});

describe("drained by hand", () => {
  test("it stays so whatever its source says, and is forgotten with the node", () => {
    const cluster = new Cluster();
    const { membership } = cluster.registry;
    membership.says(DNS, [named("a")]);
    membership.drain("http://a");
    membership.says(DNS, [named("a", { speed: 2 })]);
    expect(cluster.node("a").health.state).toBe("draining");
    expect(membership.toKeep()).toEqual([cluster.node("a")]);
    membership.says(DNS, []);
    expect(cluster.registry.nodes()).toEqual([]);
    membership.says(DNS, [named("a")]);
    expect(cluster.node("a").health.state).toBe("starting");
    expect(membership.toKeep()).toEqual([]);
  });
});

test("a slot is small, one node's at a time, and another's once all requests of the first have ended", () => {
  const cluster = new Cluster({ nodes: 3 });
  const slots = () => cluster.registry.nodes().map(({ slot }) => slot);
  expect(slots()).toEqual([0, 1, 2]);
  const lease = cluster.leaseOn(cluster.node("n1"));
  cluster.registry.membership.remove("http://n1");
  cluster.join("n3");
  expect(slots()).toEqual([0, 2, 3]);
  lease.end({ kind: "cancelled" });
  cluster.join("n4");
  expect(slots()).toEqual([0, 2, 3, 1]);
});

describe("a node's name", () => {
  test("is what the source of the highest rank says that says one", () => {
    const { registry } = new Cluster();
    const { membership } = registry;
    membership.says(FLAGS, [named("a", { name: "one" })]);
    membership.says(DNS, [named("a")]);
    expect(membership.byName("one")?.url).toBe("http://a");
    membership.says(DNS, [named("a", { name: "two" })]);
    expect([membership.byName("one"), membership.byName("two")?.url]).toEqual([
      undefined,
      "http://a",
    ]);
    membership.says(DNS, []);
    expect(membership.byName("one")?.url).toBe("http://a");
  });

  test("stays when its engine registers and says none, and is nobody else's while it is there", () => {
    const { registry } = new Cluster();
    const { membership } = registry;
    membership.register("http://a", { ...named("a"), name: "one" });
    membership.register("http://a", named("a"));
    membership.says(DNS, [named("b", { name: "one" })]);
    expect(registry.nodes().map(({ name }) => name)).toEqual(["one", null]);
    membership.remove("http://a");
    membership.says(DNS, [named("b", { name: "one" }), named("c")]);
    expect(registry.nodes().map(({ name }) => name)).toEqual(["one", null]);
    // Whoever was called so before, and comes back, goes without it.
    membership.register("http://a", named("a", { name: "one" }));
    expect(membership.get("http://a")?.name).toBeNull();
  });
});

test("undraining gives a node back what draining took, and no more than its source wants", () => {
  const cluster = new Cluster();
  const { membership } = cluster.registry;
  membership.says(DNS, [named("a"), named("b", { enabled: false })]);
  const { probes } = watch(cluster);
  for (const url of ["http://a", "http://b"]) membership.drain(url);
  expect(membership.undrain("http://a")?.health.state).toBe("starting");
  expect(membership.undrain("http://b")?.health.state).toBe("draining");
  expect(probes()).toBe(1);
  membership.undrain("http://a");
  expect(probes()).toBe(1);
  expect(membership.undrain("http://c")).toBeUndefined();
});
