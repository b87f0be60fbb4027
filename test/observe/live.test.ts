import { describe, expect, test } from "bun:test";
import { LOST } from "../../src/lab/cluster.ts";
import type { Frame } from "../../src/observe/live-frame.ts";
import { isFrame, Cluster as Shown } from "../../src/page/cluster.ts";
import { type LiveCluster, liveCluster, type Running } from "../support/live-cluster.ts";

/** Looks at the page: what it has heard, and what it knows by that. */
function look({ live }: LiveCluster) {
  const lines: string[] = [];
  const shown = new Shown();
  let hasEnded = false;
  const leave = live.watch({
    tell(line) {
      lines.push(line);
      shown.apply(frameOf(line));
    },
    end: () => {
      hasEnded = true;
    },
  });
  const node = (name: string) =>
    shown.nodes.find((row) => row.text("url") === `http://${name}`) ?? null;
  return { lines, shown, node, leave, hasEnded: () => hasEnded };
}

function frameOf(line: string): Frame {
  const frame: unknown = JSON.parse(line);
  if (!isFrame(frame)) throw new Error(`no frame: ${line}`);
  return frame;
}

describe("somebody who looks", () => {
  test("is told all there is at once, and a change of state with its reason within a second", () => {
    const all = liveCluster(3);
    const { node, shown, lines } = look(all);
    expect(lines).toHaveLength(1);
    expect(shown.about).toMatchObject({ version: "1.2.3", strategy: "random", freshMs: 10_000 });
    expect(shown.nodes).toHaveLength(3);
    expect(node("n1")?.text("state")).toBe("healthy");
    all.cluster.refuse(all.cluster.node("n1"));
    all.cluster.time.advance(1_000);
    expect(node("n1")?.text("state")).toBe("unhealthy");
    expect(node("n1")?.text("reason")).toBe("no connection");
    all.cluster.registry.membership.remove("http://n2");
    all.cluster.join("n3");
    all.cluster.time.advance(1_000);
    expect(shown.nodes.map((row) => row.text("url"))).toEqual([
      "http://n0",
      "http://n1",
      "http://n3",
    ]);
  });

  test("sees what runs, oldest first, what hangs, and what failed by what", () => {
    const all = liveCluster(2);
    const { shown } = look(all);
    const { time } = all.cluster;
    const hung = all.send("n0");
    time.advance(1_000);
    hung.lease.piece(time.nowMs);
    hung.exchange.piece(10, time.nowMs);
    const young = all.send("n1");
    time.advance(5_000);
    expect(shown.requests.map((row) => row.text("id"))).toEqual(["request-1", "request-2"]);
    const [first] = shown.requests;
    expect(first?.text("node")).toBe("http://n0");
    expect(shown.tMs - (first?.number("quietMs") ?? 0)).toBe(5_000);
    all.cluster.registry.learning.look();
    time.advance(6_000);
    expect(shown.nodes.map((row) => row.number("silentS"))).toEqual([null, 11]);
    expect(shown.models.map((row) => [row.text("name"), row.number("inFlight")])).toEqual([
      ["m", 2],
    ]);
    hung.lease.end(LOST);
    hung.exchange.head(200);
    hung.exchange.end({ how: "broken", error: "upstream_error" });
    young.end();
    time.advance(1_000);
    expect(shown.requests).toEqual([]);
    const [failure, ...others] = shown.failures;
    expect(others).toEqual([]);
    const fields = ["id", "outcome", "node", "detail"] as const;
    expect(fields.map((field) => failure?.text(field))).toEqual([
      "request-1",
      "broken",
      "http://n0",
      "connection lost",
    ]);
  });

  test("sees each sort of failures once, also after hundreds of another", () => {
    const all = liveCluster(2);
    const { shown } = look(all);
    const { time } = all.cluster;
    const fail = (node: string) => {
      const { lease, exchange } = all.send(node);
      lease.end(LOST);
      exchange.end({ how: "broken", error: "upstream_error" });
      time.advance(10);
    };
    fail("n1");
    for (let i = 0; i < 300; i += 1) fail("n0");
    time.advance(1_000);
    const rows = shown.failures.map((row) => [row.text("node"), row.number("count")]);
    expect(rows).toEqual([
      ["http://n0", 300],
      ["http://n1", 1],
    ]);
    expect(shown.failures[0]?.text("id")).toBe("request-301");
  });

  test("finds fifteen minutes of history, whenever that is, and the same going on", () => {
    const all = liveCluster(2);
    const { time } = all.cluster;
    const early = look(all);
    for (let second = 0; second < 1_200; second += 1) {
      const running = all.send(second < 600 ? "n0" : "n1");
      time.advance(500);
      running.end();
      time.advance(500);
    }
    const late = look(all);
    for (const [at, series] of late.shown.past.series.entries()) {
      expect([...series]).toEqual([...(early.shown.past.series[at] ?? [])]);
      expect(series).toHaveLength(90);
    }
    const requests = [...(late.shown.past.series[1] ?? [])];
    expect(new Set(requests)).toEqual(new Set([10]));
    const attempts = (name: string) => [
      ...(late.shown.pastOf(late.node(name)?.key ?? 0).series[2] ?? []),
    ];
    expect([attempts("n0").at(0), attempts("n0").at(-1)]).toEqual([10, 0]);
    expect([attempts("n1").at(0), attempts("n1").at(-1)]).toEqual([0, 10]);
    expect([late.node("n0")?.number("share"), late.node("n1")?.number("share")]).toEqual([0, 100]);
    expect(late.shown.past.series[3]?.at(-1)).toBe(500);
  });

  test("is told what a node does for others than us", () => {
    const all = liveCluster(2);
    const { node } = look(all);
    const { time } = all.cluster;
    const sample = (running: number, waiting: number) => {
      const said = { cacheUsage: 0.5, running, waiting };
      all.cluster.registry.learning.sampled(all.cluster.node("n0"), said, "vllm", time.nowMs);
    };
    const ours = Array.from({ length: 5 }, () => all.send("n0"));
    time.advance(10_000);
    sample(5, 0);
    for (const one of ours) one.end();
    time.advance(1_000);
    // Its gauges are old: those were ours.
    expect(node("n0")?.number("foreign")).toBe(0);
    sample(100, 40);
    time.advance(1_000);
    expect(node("n0")?.number("foreign")).toBe(135);
  });

  test("is told little, however much 256 nodes do, and nothing is left out for good", () => {
    const all = liveCluster(256);
    const { time, random } = all.cluster;
    const { lines, shown } = look(all);
    const running: Running[] = [];
    for (let second = 0; second < 120; second += 1) {
      for (let at = 0; at < 60; at += 1) running.push(all.send());
      if (second % 5 === 0) all.cluster.registry.learning.look();
      time.advance(1_000);
      while (running.length > 600) {
        const [one] = running.splice(Math.floor(random() * running.length), 1);
        one?.end();
      }
    }
    const changes = lines.slice(1);
    const bytes = changes.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
    expect(bytes / changes.length).toBeLessThan(600);
    time.advance(30_000);
    for (const row of shown.nodes) {
      const node = all.cluster.registry.get(row.text("url"));
      expect([row.text("url"), row.number("inFlight")]).toEqual([
        row.text("url"),
        node?.inFlight ?? null,
      ]);
    }
  }, 60_000);

  test("is told next to nothing of 256 nodes that do nothing", () => {
    const all = liveCluster(256);
    all.cluster.time.advance(60_000);
    const { lines } = look(all);
    all.cluster.time.advance(60_000);
    expect(lines).toHaveLength(61);
    const bytes = lines.slice(1).reduce((sum, line) => sum + line.length, 0);
    expect(bytes / 60).toBeLessThan(40);
  });
});

test("32 may look at once; who leaves makes room, and all are sent away at the end", () => {
  const all = liveCluster(1);
  const looking = Array.from({ length: 32 }, () => look(all));
  expect(all.live.hasRoom).toBe(false);
  expect(all.live.watch({ tell() {}, end() {} })).toBeNull();
  looking[0]?.leave?.();
  expect(all.live.hasRoom).toBe(true);
  all.cluster.time.advance(1_000);
  expect([looking[0]?.lines.length, looking[1]?.lines.length]).toEqual([1, 2]);
  all.live.stop();
  expect(looking.map(({ hasEnded }) => hasEnded())).toEqual(looking.map((_, at) => at > 0));
  expect(all.live.hasRoom).toBe(false);
});
