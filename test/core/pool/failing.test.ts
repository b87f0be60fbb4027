/** Nodes that answer 5xx: alone, or as all others do, since the requests are such. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { answered, Cluster, OK } from "../../../src/lab/cluster.ts";
import { times } from "../../support/ask.ts";
import { keepWatch } from "./patients.ts";

setDefaultTimeout(60_000);

const SEEDS = times(10, null).map((_, i) => i + 1);

interface Played {
  /** In the order in which they went out. */
  readonly outs: readonly string[];
  /** 5xx answers to begin with, until the last of them went out. */
  readonly failed: number;
}

/**
 * Twenty requests come a second for a minute, streams that begin after 0.3 s; what fails does so at once, and
 * once more at another node. In the first three seconds none is bad, so that something is known of all.
 */
function play(
  nodes: number,
  seed: number,
  fails: (node: Node, atMs: number, isBad: boolean) => boolean,
  bad = 0,
): Played {
  const cluster = new Cluster({ nodes, seed });
  keepWatch(cluster);
  const { time, random, registry } = cluster;
  const outs: string[] = [];
  let [failed, failedInAll] = [0, 0];
  registry.subscribe({
    stateChanged({ url }, _from, to) {
      if (to !== "unhealthy") return;
      outs.push(url);
      failed = failedInAll;
    },
  });
  const beganMs = time.nowMs;
  const send = (isBad: boolean, tried: ReadonlySet<Node>) => {
    const asked = { ...NOTHING_ASKED, stream: true };
    const lease = cluster.acquire({ asked, tried });
    if (!(lease instanceof Lease)) return;
    if (fails(lease.node, time.nowMs - beganMs, isBad)) {
      time.after(10, () => {
        failedInAll += 1;
        lease.end(answered(500));
        if (tried.size === 0) send(isBad, new Set([lease.node]));
      });
      return;
    }
    time.after(20, () => lease.answering(200));
    time.after(300, () => lease.piece(time.nowMs));
    time.after(1_000, () => lease.end(OK));
  };
  for (let nth = 0; nth < 1_200; nth += 1) {
    time.advance(50);
    send(nth >= 60 && random() < bad, new Set());
  }
  return { outs, failed };
}

describe.each([2, 4, 8])("of %d nodes that fail the same requests", (nodes) => {
  test.each([0.02, 0.1, 0.25])("hardly any is out for %d of all", (bad) => {
    const outs = SEEDS.flatMap((seed) => play(nodes, seed, (_, _atMs, isBad) => isBad, bad).outs);
    expect(outs.length).toBeLessThanOrEqual(1);
  });
});

test("one of four that fails everything is out after two, and found where others fail some, too", () => {
  for (const seed of SEEDS) {
    const fails = ({ url }: Node, atMs: number) => url === "http://n0" && atMs > 30_000;
    const { outs, failed } = play(4, seed, fails);
    expect(new Set(outs)).toEqual(new Set(["http://n0"]));
    expect(failed).toBeLessThan(5);
    const among = (node: Node, atMs: number, isBad: boolean) => isBad || fails(node, atMs);
    expect(play(4, seed, among, 0.05).outs).toContain("http://n0");
  }
});

test("half of four that fail everything are out", () => {
  for (const seed of SEEDS) {
    const fails = ({ url }: Node, atMs: number) => /n[01]$/.test(url) && atMs > 30_000;
    const { outs, failed } = play(4, seed, fails);
    expect(new Set(outs)).toEqual(new Set(["http://n0", "http://n1"]));
    expect(failed).toBeLessThan(40);
  }
});
