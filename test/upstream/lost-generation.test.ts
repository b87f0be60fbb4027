/**
 * A request that is lost with its engine may be sent again, with or without a budget for it: also when the next engine
 * is there, and well, before that is seen.
 */
import { expect, test } from "bun:test";
import { RetryState } from "../../src/core/retry.ts";
import { Cluster } from "../../src/lab/cluster.ts";
import { Attempt } from "../../src/upstream/attempt.ts";
import { worthRetrying } from "../../src/upstream/send.ts";

test.each([
  ["register ok", true],
  ["refused ok", true],
  ["ok", false],
])("meanwhile at its node: %s", (words, isFree) => {
  const cluster = new Cluster({ nodes: 2 });
  const lease = cluster.lease();
  cluster.play(lease.node, words);
  expect(lease.node.health.state).toBe("healthy");
  const noBudget = new RetryState({ retry: true, retrySent: true }, () => false);
  const lost = { kind: "lost", detail: "connection lost" } as const;
  expect(worthRetrying(new Attempt(lease), lost, noBudget, cluster.time)).toBe(isFree);
});
