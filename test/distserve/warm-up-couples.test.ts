/** Which nodes are paired before a request needs it, where there are many models. */
import { expect, test } from "bun:test";
import { Pairs } from "../../src/distserve/pairs.ts";
import { WarmUp } from "../../src/distserve/warm-up.ts";
import { Cluster } from "../../src/lab/cluster.ts";
import { cpuMsOf, cpuMsOfComparing } from "../support/cpu-time.ts";

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
  // An eighth of what all of the 64 couples would take; it is a 150th.
  const takesMs = cpuMsOf(() => nodes.forEach((node) => void warmUp.joined(node)));
  expect(takesMs).toBeLessThan(8 * cpuMsOfComparing(MODELS));
});
