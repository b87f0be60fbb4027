/** What a request waits for that no pair is left for. */
import { describe, expect, test } from "bun:test";
import type { Node } from "../../src/core/pool/node.ts";
import { QUIET_MS } from "../../src/core/pool/trials.ts";
import { Signal } from "../../src/core/signal.ts";
import { untilChanged, untilHeard } from "../../src/distserve/until-changed.ts";
import { Cluster, OK } from "../../src/lab/cluster.ts";

/** A request whose pair could not be connected: nobody listened at the prefill engine's. */
function waiting(become: (cluster: Cluster) => Node) {
  const cluster = new Cluster();
  const decode = cluster.join("decode", { role: "Decode" });
  const prefill = become(cluster);
  const failure = { reason: "refused", final: false, gone: [prefill.url] };
  const changed = untilChanged({
    failed: [{ prefill, decode, failure }],
    lostOne: false,
    limitMs: 30_000,
    pairs: { settled: () => Promise.resolve(null) },
    signals: [],
    registry: cluster.registry,
    after: (ms, act) => cluster.time.after(ms, act),
  });
  return { cluster, prefill, changed };
}

const PREFILL = { role: "Prefill" } as const;

describe.each([
  ["that no probe has missed yet", () => {}],
  ["that a probe has missed", (cluster: Cluster, node: Node) => cluster.refuse(node)],
  [
    "that has registered anew meanwhile",
    (cluster: Cluster, node: Node) => {
      cluster.refuse(node);
      cluster.register("prefill", PREFILL);
    },
  ],
])("an engine %s", (_what, happens) => {
  const become = (cluster: Cluster) => {
    const node = cluster.join("prefill", PREFILL);
    happens(cluster, node);
    return node;
  };

  test("is waited for", async () => {
    const { cluster, prefill, changed } = waiting(become);
    cluster.pass(prefill);
    expect(await changed).toBe(true);
  });

  test("and for no longer than there is time", async () => {
    const { cluster, changed } = waiting(become);
    cluster.time.advance(30_000);
    expect(await changed).toBe(false);
  });
});

test("one that is drained is not waited for", async () => {
  const { changed } = waiting((cluster) => {
    const node = cluster.join("prefill", PREFILL);
    cluster.registry.membership.drain(node.url);
    return node;
  });
  expect(await changed).toBe(false);
});

test("one that has never been there is not waited for", async () => {
  const { changed } = waiting((cluster) => cluster.register("prefill", PREFILL));
  expect(await changed).toBe(false);
});

/** A cluster's registry and clock, and how much of them is held. */
function watched() {
  const { registry, time } = new Cluster({ nodes: 1 });
  const [node] = registry.nodes();
  if (node === undefined) throw new Error("it has one");
  let held = 0;
  const counting = (end: () => void) => {
    held += 1;
    return () => {
      held -= 1;
      end();
    };
  };
  return {
    node,
    held: () => held,
    registry: {
      get: registry.get.bind(registry),
      subscribe: (listener: Parameters<typeof registry.subscribe>[0]) =>
        counting(registry.subscribe(listener)),
    },
    after: (ms: number, act: () => void) => counting(time.after(ms, act)),
  };
}

test("a wait for a word of the node that lost a request is over when its client leaves, and holds nothing", async () => {
  const { node, held, ...surroundings } = watched();
  const signal = new Signal();
  const isOnly = () => true;
  const waiting = untilHeard(node, { ...surroundings, isOnly, limitMs: 1e6, signals: [signal] });
  expect(held()).toBe(2);
  signal.abort("gone");
  expect(await waiting.catch((reason: unknown) => reason)).toBe("gone");
  expect(held()).toBe(0);
});

test("so is a wait for pairs", async () => {
  const { node: _, held, ...surroundings } = watched();
  const signal = new Signal();
  const pairs = { settled: async () => null };
  const awaited = { failed: [], lostOne: true, limitMs: 1e6, pairs, signals: [signal] };
  const waiting = untilChanged({ ...surroundings, ...awaited });
  expect(held()).toBe(2);
  signal.abort("gone");
  expect(await waiting.catch((reason: unknown) => reason)).toBe("gone");
  expect(held()).toBe(0);
});

test("one on parole may be asked instead of the node that lost a request, once its trial is over", async () => {
  const cluster = new Cluster({ nodes: 2 });
  const [node, other] = cluster.registry.nodes();
  if (node === undefined || other === undefined) throw new Error("it has two");
  cluster.registry.learning.doubted(other, "answers", "so it is");
  cluster.time.advance(QUIET_MS + 1);
  cluster.pass(other);
  const trial = cluster.lease({ only: other });
  const isOnly = (one: Node) => {
    const tried = new Set([one]);
    return !cluster.registry.hasAnother({ model: null, role: "Hybrid", asked: trial.asked, tried });
  };
  const heard = untilHeard(node, {
    isOnly,
    limitMs: 30_000,
    registry: cluster.registry,
    after: (ms, act) => cluster.time.after(ms, act),
    signals: [],
  });
  expect(isOnly(node)).toBe(true);
  trial.end(OK);
  cluster.pass(other);
  cluster.time.advance(30_000);
  expect(await heard).toBe(false);
});
