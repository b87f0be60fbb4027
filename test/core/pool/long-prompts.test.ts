/** What waits behind a long prompt says nothing of its node. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Node } from "../../../src/core/pool/node.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { Cluster } from "../../../src/lab/cluster.ts";
import { keepWatch, send } from "./patients.ts";

setDefaultTimeout(60_000);

test("clients that give up behind a long prompt speak against no node", () => {
  const cluster = new Cluster({ nodes: 3, strategy: "random" });
  keepWatch(cluster);
  const outs: string[] = [];
  cluster.registry.subscribe({
    stateChanged: ({ url, lastError }, _from, to) => outs.push(`${url} ${to} ${lastError}`),
  });
  // As editors ask for completions, and take it back at the next key.
  const hasty = { perSecond: 20, patienceMs: 900, asked: () => ({ promptBytes: 1_000 }) };
  send(cluster, { ...hasty, seconds: 10, firstWordMs: () => 200 });
  const { time } = cluster;
  const long = cluster.lease({
    asked: { ...NOTHING_ASKED, stream: true, promptBytes: 100_000 },
    among: (node) => node.url === "http://n0",
  });
  const answersAtMs = time.nowMs + 5_000;
  time.after(5_000, () => long.piece(time.nowMs));
  const waits = (node: Node) => (node === long.node ? Math.max(0, answersAtMs - time.nowMs) : 0);
  const seen = send(cluster, {
    ...hasty,
    seconds: 10,
    isExact: true,
    firstWordMs: (node) => 200 + waits(node),
  });
  const givenUp = seen.requests.filter(({ waitedMs }) => waitedMs === Number.POSITIVE_INFINITY);
  expect(givenUp.length).toBeGreaterThan(10);
  expect(outs).toEqual([]);
});
