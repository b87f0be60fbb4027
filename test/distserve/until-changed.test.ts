/** What a request waits for that no pair is left for. */
import { describe, expect, test } from "bun:test";
import type { Node } from "../../src/core/pool/node.ts";
import { untilChanged } from "../../src/distserve/until-changed.ts";
import { Cluster } from "../../src/lab/cluster.ts";

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
