import { describe, expect, test } from "bun:test";
import { Cluster, LOST, OK } from "../../src/lab/cluster.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { nodeFigures } from "../../src/observe/node-figures.ts";
import { cpuMsOf, cpuMsOfComparing } from "../support/cpu-time.ts";

const MODELS = 8_000;

function observed() {
  const cluster = new Cluster();
  const metrics = new Metrics(cluster.registry, { now: cluster.time.now, wallMs: () => 0 });
  const of = (name: string) =>
    nodeFigures(cluster.registry, metrics, cluster.time.nowMs).get(cluster.node(name));
  /** One answer on a node, its first byte after `firstByteMs`, then a piece every `pieceMs`. */
  const answer = (name: string, firstByteMs: number, pieceMs: number) => {
    const lease = cluster.leaseOn(cluster.node(name));
    cluster.time.advance(firstByteMs);
    for (let piece = 0; piece < 3; piece += 1) {
      if (piece > 0) cluster.time.advance(pieceMs);
      lease.piece(cluster.time.nowMs);
    }
    lease.end(OK);
  };
  return { cluster, of, answer };
}

describe("a node beside its peers", () => {
  test("is measured by the median of those with a model in common", () => {
    const { cluster, of, answer } = observed();
    for (const name of ["n0", "n1", "n2"]) cluster.join(name);
    cluster.join("other", { models: ["another"] });
    cluster.warmUp();
    for (let round = 0; round < 5; round += 1) {
      answer("n0", 100, 10);
      answer("n1", 100, 10);
      answer("n2", 400, 50);
    }
    expect(of("n2")).toMatchObject({ first_byte_p50_s: 0.4, first_byte_ratio: 4, piece_ratio: 5 });
    expect(of("n0")).toMatchObject({ first_byte_ratio: 1, piece_p50_s: 0.01 });
    expect(of("other")).toMatchObject({ first_byte_p50_s: null, first_byte_ratio: null });
  });

  test("is compared, and its peers with it, once it has had five answers", () => {
    const { cluster, of, answer } = observed();
    for (const name of ["n0", "n1", "n2"]) cluster.join(name);
    cluster.warmUp();
    for (let round = 0; round < 5; round += 1) answer("n0", 100, 10);
    for (let round = 0; round < 4; round += 1) answer("n1", 5_000, 10);
    expect(of("n1")).toMatchObject({ first_byte_p50_s: 5, first_byte_ratio: null });
    expect(of("n0")).toMatchObject({ first_byte_ratio: 1, piece_ratio: 1 });
    answer("n1", 5_000, 10);
    expect(of("n1")?.first_byte_ratio).toBeGreaterThan(1.9);
    expect(of("n0")?.first_byte_ratio).toBeLessThan(1);
  });

  test("is found among thousands of models that nobody shares, without comparing them all", () => {
    const { cluster, of } = observed();
    const adapters = Array.from({ length: MODELS }, (_, at) => `adapter-${at}`);
    const names = Array.from({ length: 8 }, (_, at) => `n${at}`);
    for (const name of names) {
      cluster.join(name, { models: adapters.map((adapter) => `${name}-${adapter}`) });
    }
    expect(of("n7")).toMatchObject({ errors_5m: 0 });
    // Of two nodes each; there are 28 couples.
    expect(cpuMsOf(() => of("n7"))).toBeLessThan(8 * cpuMsOfComparing(MODELS));
  }, 60_000);

  test("has failures that are forgotten after five minutes, and a request that grows old", () => {
    const { cluster, of } = observed();
    cluster.join("n0");
    cluster.join("n1");
    cluster.warmUp();
    cluster.send(cluster.node("n0"), LOST);
    const lease = cluster.leaseOn(cluster.node("n1"));
    cluster.time.advance(7_000);
    expect(of("n0")?.errors_5m).toBe(1);
    expect(of("n1")?.oldest_request_s).toBe(7);
    lease.end(OK);
    cluster.time.advance(300_000);
    expect(of("n0")?.errors_5m).toBe(0);
    expect(of("n1")?.oldest_request_s).toBeNull();
  });
});
