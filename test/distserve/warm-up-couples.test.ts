/** Which nodes are paired before a request needs it, where there are many models. */
import { expect, test } from "bun:test";
import { Pairs } from "../../src/distserve/pairs.ts";
import { WarmUp } from "../../src/distserve/warm-up.ts";
import { Cluster } from "../../src/lab/cluster.ts";

const MODELS = 4_000;

function namesOf(node: string): string[] {
  return Array.from({ length: MODELS }, (_, at) => `${node}-adapter-${at}`);
}

/** A cluster whose pairs are connected at once, and what was connected, in the nodes' names. */
function warmed() {
  const cluster = new Cluster();
  const connected: string[] = [];
  const pairs = new Pairs({
    now: cluster.time.now,
    after: () => () => {},
    handshake: async (prefill, decode) => {
      connected.push(`${prefill} ${decode}`.replaceAll("http://", ""));
      return null;
    },
    drop: async () => {},
    onConnected: () => {},
    onFailed: () => {},
    inUse: () => false,
  });
  const { registry } = cluster;
  const warmUp = new WarmUp({ registry, pairs, onJoin: true, after: () => () => {} });
  return { cluster, warmUp, connected };
}

/** How long the fastest of a few runs took, ms. */
function msOf(act: () => unknown): number {
  const runs = Array.from({ length: 3 }, () => {
    const startedMs = performance.now();
    act();
    return performance.now() - startedMs;
  });
  return Math.min(...runs);
}

test("nodes are paired by the models that they share, or may turn out to share", async () => {
  const { cluster, warmUp, connected } = warmed();
  cluster.join("p-ab", { role: "Prefill", models: ["a", "b"] });
  cluster.join("p-unknown", { role: "Prefill", models: [] });
  cluster.join("d-b", { role: "Decode", models: ["b"] });
  cluster.join("d-c", { role: "Decode", models: ["c"] });
  cluster.join("d-unknown", { role: "Decode", models: [] });
  cluster.join("hybrid", { models: ["a", "b", "c"] });
  const report = await warmUp.all();
  const wanted = ["p-ab d-b", "p-ab d-unknown"].concat(
    ["d-b", "d-c", "d-unknown"].map((decode) => `p-unknown ${decode}`),
  );
  expect(connected.toSorted()).toEqual(wanted.toSorted());
  expect(report.map(({ state }) => state)).toEqual(wanted.map(() => "connected"));
});

test("a node that joins is paired with those alone that share a model", async () => {
  const { cluster, warmUp, connected } = warmed();
  cluster.join("p-a", { role: "Prefill", models: ["a"] });
  cluster.join("p-b", { role: "Prefill", models: ["b"] });
  cluster.join("d-a", { role: "Decode", models: ["a"] });
  warmUp.joined(cluster.join("d-b", { role: "Decode", models: ["b"] }));
  warmUp.joined(cluster.join("hybrid", { models: ["a", "b"] }));
  await Promise.resolve();
  expect(connected).toEqual(["p-b d-b"]);
});

test("thousands of models that nobody shares are looked up, not compared list by list", () => {
  const { cluster, warmUp } = warmed();
  const nodes = Array.from({ length: 8 }, (_, at) => [
    cluster.join(`p${at}`, { role: "Prefill", models: namesOf(`p${at}`) }),
    cluster.join(`d${at}`, { role: "Decode", models: namesOf(`d${at}`) }),
  ]).flat();
  // What one couple of the 64 takes when each name of the one is looked for in the list of the other.
  const [one, other] = [namesOf("p0"), namesOf("d0")];
  const ofOneMs = msOf(() => one.some((model) => other.includes(model)));
  // An eighth of what all of them would take; it is a 150th where nothing else runs.
  expect(msOf(() => nodes.forEach((node) => void warmUp.joined(node)))).toBeLessThan(8 * ofOneMs);
});
