import { describe, expect, test } from "bun:test";
import { Cluster } from "../../src/lab/cluster.ts";
import type { Fields } from "../../src/observe/line-format.ts";
import { NodeEvents } from "../../src/observe/node-events.ts";

/** A cluster whose events are kept, each as `level message` with its fields. */
function observed(cluster = new Cluster()) {
  const said: { readonly what: string; readonly fields: Fields }[] = [];
  const say =
    (level: string) =>
    (message: string, fields: Fields = {}) => {
      said.push({ what: `${level} ${message}`, fields });
    };
  const log = {
    debug: say("debug"),
    info: say("info"),
    warning: say("warning"),
    error: say("error"),
  };
  const { time } = cluster;
  const every = (ms: number, act: () => void) => {
    let cancel = () => {};
    const again = () => {
      act();
      cancel = time.after(ms, again);
    };
    cancel = time.after(ms, again);
    return () => cancel();
  };
  const events = new NodeEvents(cluster.registry, log, { now: time.now, every });
  events.start();
  return { cluster, events, said, take: () => said.splice(0) };
}

describe("the log says of a node", () => {
  test("that it is out: why, and how many are left", () => {
    const { cluster, take } = observed();
    const [one] = [cluster.join("n0"), cluster.join("n1")];
    take();
    cluster.refuse(one);
    expect(take()).toEqual([
      {
        what: "warning node is out",
        fields: { node: one.url, from: "healthy", reason: "no connection", left: 1, of: 2 },
      },
    ]);
  });

  test("what there is to say of one that was there before", () => {
    const cluster = new Cluster();
    const node = cluster.join("n0");
    const { take } = observed(cluster);
    take();
    cluster.refuse(node);
    expect(take().map(({ what }) => what)).toContain("warning node is out");
  });

  test("that it serves other models, not which it was found to serve first", () => {
    const { cluster, take } = observed();
    const node = cluster.join("n0");
    const { membership } = cluster.registry;
    membership.discovered(node, ["m"]);
    take();
    membership.discovered(node, []);
    membership.discovered(node, ["m"]);
    expect(take()).toEqual([]);
    membership.discovered(node, ["m", "adapter"]);
    expect(take()).toEqual([
      {
        what: "info models of the node changed",
        fields: { node: node.url, added: "adapter" },
      },
    ]);
    const many = ["m", "a", "b", "c", "d", "e", "f"];
    membership.discovered(node, many);
    membership.discovered(node, many.toReversed());
    take();
    membership.discovered(node, [...many.slice(0, -1), "g"]);
    expect(take().map(({ fields }) => fields)).toEqual([
      { node: node.url, added: "g", removed: "f" },
    ]);
  });

  test("that it registered again: another process may be there", () => {
    const { cluster, take } = observed();
    const node = cluster.join("n0");
    take();
    cluster.registry.membership.renewed(node);
    expect(take()).toContainEqual({
      what: "info node registered again",
      fields: { node: node.url, unfinished: 0 },
    });
  });

  test("that it is back, and after how long, without the old error", () => {
    const { cluster, take } = observed();
    const node = cluster.join("n0");
    cluster.refuse(node);
    cluster.time.advance(4_200);
    take();
    cluster.pass(node);
    expect(take()).toEqual([
      { what: "info node is back", fields: { node: node.url, from: "unhealthy", after_s: 4.2 } },
    ]);
  });

  test("why it is out, also where it was tried anew since nothing was asked, and failed", () => {
    const { cluster, take } = observed();
    const node = cluster.join("n0");
    cluster.join("n1");
    cluster.warmUp();
    cluster.registry.learning.doubted(node, "refused", "refuses all");
    cluster.time.advance(5_000);
    cluster.pass(node);
    cluster.pass(node);
    expect(take().map(({ what }) => what)).toContain("info node is back");
    cluster.lease({ only: node }).end({ kind: "answered", status: 400 });
    expect(take()).toMatchObject([
      { what: "warning node is out", fields: { node: node.url, reason: "refuses all" } },
    ]);
  });

  test("that it was a model's last", () => {
    const { cluster, take } = observed();
    const node = cluster.join("n0", { models: ["a"] });
    cluster.join("n1", { models: ["b"] });
    take();
    cluster.refuse(node);
    expect(take().map(({ what, fields }) => [what, fields.models])).toContainEqual([
      "error no healthy node is left",
      "a",
    ]);
  });

  test("that it was a model's last, also where its engine has said that it starts anew", () => {
    const { cluster, take } = observed();
    const node = cluster.join("n0", { models: ["a"] });
    take();
    cluster.registry.learning.probed(node, { kind: "initializing" }, false);
    expect(take().map(({ what, fields }) => [what, fields.models])).toEqual([
      ["info node is starting", undefined],
      ["error no healthy node is left", "a"],
    ]);
  });

  test("that it has not answered yet: once at first, then each minute with a count", () => {
    const { cluster, take } = observed();
    const node = cluster.register("n0");
    take();
    cluster.refuse(node);
    cluster.time.advance(1_000);
    expect(take()).toMatchObject([
      { what: "warning node does not answer yet", fields: { reason: "no connection", probes: 1 } },
    ]);
    cluster.refuse(node);
    cluster.time.advance(58_000);
    expect(take()).toEqual([]);
    cluster.time.advance(3_000);
    expect(take()).toMatchObject([{ fields: { for_s: 61, probes: 2 } }]);
  });

  test("that it drains, and that it is drained", () => {
    const { cluster, take } = observed();
    const node = cluster.join("n0");
    cluster.warmUp();
    const lease = cluster.leaseOn(node);
    take();
    cluster.play(node, "drain");
    expect(take()).toEqual([
      { what: "info node is draining", fields: { node: node.url, unfinished: 1 } },
    ]);
    lease.end({ kind: "cancelled" });
    expect(take().map(({ what }) => what)).toEqual(["info node is drained: nothing is in flight"]);
    cluster.play(node, "register ok drain");
    take();
    cluster.time.advance(2_000);
    expect(take().map(({ what }) => what)).toEqual(["info node is drained: nothing is in flight"]);
  });

  test("that others send it requests, each minute, until they no longer do", () => {
    const { cluster, take } = observed();
    const node = cluster.join("n0");
    cluster.warmUp();
    /** A second goes by; the gauges show so many of others beside what is ours. */
    const pass = (seconds: number, others: number, ours: number) => {
      for (let second = 0; second < seconds; second += 1) {
        const leases = Array.from({ length: ours }, () => cluster.leaseOn(node));
        const sample = { cacheUsage: 0.1, running: ours + others, waiting: 0 };
        cluster.registry.learning.sampled(node, sample, "lmdeploy", cluster.time.nowMs);
        cluster.time.advance(1_000);
        for (const lease of leases) lease.end({ kind: "answered", status: 200 });
      }
    };
    pass(60, 0, 3);
    // What has ended may still show.
    pass(10, 50, 0);
    take();
    pass(30, 0, 0);
    expect(take()).toEqual([]);
    pass(8, 100, 1);
    expect(take()).toEqual([
      {
        what: "warning node runs more than it was sent",
        fields: { node: node.url, running: 101, waiting: 0, sent: expect.any(Number) },
      },
    ]);
    pass(50, 100, 1);
    expect(take()).toEqual([]);
    pass(10, 100, 1);
    expect(take()).toHaveLength(1);
    pass(3, 0, 1);
    expect(take().map(({ what }) => what)).toEqual(["info node runs what it was sent again"]);
  });

  test("nothing of others where what it runs, or ran, is other processes' of this proxy", () => {
    const { cluster, events, take } = observed();
    const node = cluster.join("n0");
    cluster.warmUp();
    take();
    for (let second = 0; second < 60; second += 1) {
      events.ended(node, 20);
      const sample = { cacheUsage: 0.1, running: 60, waiting: 0 };
      cluster.registry.learning.sampled(node, sample, "lmdeploy", cluster.time.nowMs);
      cluster.time.advance(1_000);
    }
    expect(take()).toEqual([]);
  });

  test("nothing any more once it is stopped", () => {
    const { cluster, events, take } = observed();
    events.stop();
    cluster.join("n0");
    cluster.time.advance(120_000);
    expect(take()).toEqual([]);
  });
});
