/** `prefix_aware` where what it goes by is wrong or missing: it may lose its lead, and must not collapse. */
import { expect, test } from "bun:test";
import { PromptKnowledge } from "../../src/core/knowledge/prompt-knowledge.ts";
import type { Knowledge } from "../../src/core/pool/candidates.ts";
import type { Lease } from "../../src/core/pool/lease.ts";
import type { Node } from "../../src/core/pool/node.ts";
import { minExpectedLatency } from "../../src/core/strategies/min-expected-latency.ts";
import { prefixAware } from "../../src/core/strategies/prefix-aware.ts";
import type { Strategy } from "../../src/core/strategies/strategy.ts";
import { clusterOf, eventOf } from "../../src/lab/clusters.ts";
import { contestantOf } from "../../src/lab/contestants.ts";
import { ENGINES } from "../../src/lab/engines.ts";
import { type ReplayOptions, replay } from "../../src/lab/replay.ts";
import { synthetic } from "../../src/lab/trace/synthetic.ts";
import { prepare, type Workload } from "../../src/lab/workload.ts";
import { hash } from "../../src/proxy/routing.ts";

const params = ENGINES["llama3-70b-8xa100"];
const trace = synthetic("chat", 2);
if (params === undefined || trace === null) throw new Error("the laboratory has lost its names");

const workload = prepare(
  { ...trace, requests: trace.requests.filter(({ atMs }) => atMs < 120_000) },
  params.blockSizeTokens,
  hash,
);
const notStreamed: Workload = {
  ...workload,
  request: (place) => {
    const one = workload.request(place);
    return { ...one, asked: { ...one.asked, stream: false } };
  },
};

type Make = ReplayOptions["contestant"]["make"];

/** Its knowledge, and what comes between it and what happens. */
function withKnowledge(
  between: (make: () => PromptKnowledge, now: () => number) => Knowledge,
): Make {
  return (_oracle, time) => ({
    strategy: prefixAware,
    knowledge: [between(() => new PromptKnowledge(time.now), time.now)],
  });
}

/** The proxy restarts after 80 s: nothing that it had learned is there. */
const restarted = withKnowledge((make, now) => {
  let knowledge = make();
  let isNew = false;
  const current = () => {
    if (!isNew && now() > 80_000) [knowledge, isNew] = [make(), true];
    return knowledge;
  };
  return {
    fill: (...given) => current().fill(...given),
    listener: {
      leaseStarted: (lease) => current().listener.leaseStarted?.(lease),
      firstByte: (lease) => current().listener.firstByte?.(lease),
      leaseEnded: (lease, outcome) => current().listener.leaseEnded?.(lease, outcome),
    },
  };
});

/** One of the nodes says that it had all of every prompt. */
const liedTo = withKnowledge((make) => {
  const knowledge = make();
  const usage = { promptTokens: 1_000, outputTokens: 1, cachedTokens: 1_000 };
  return {
    fill: (...given) => knowledge.fill(...given),
    listener: {
      ...knowledge.listener,
      leaseEnded: (lease, outcome) => {
        const isLiar = lease.node.url.endsWith("n3") && outcome.kind === "answered";
        knowledge.listener.leaseEnded?.(lease, isLiar ? { ...outcome, usage } : outcome);
      },
    },
  };
});

/** Two proxies before the same engines: each knows of its own requests alone. */
function ofTwo(strategy: Strategy): Make {
  return (_oracle, time) => {
    const proxies = [0, 1].map(() => ({
      knowledge: new PromptKnowledge(time.now),
      open: new Map<Node, number>(),
    }));
    const owners = new WeakMap<Lease, (typeof proxies)[number]>();
    let turn = 0;
    const between: Knowledge = {
      fill: (candidates, asked, nowMs) => {
        const proxy = proxies[turn % 2];
        proxy?.knowledge.fill(candidates, asked, nowMs);
        for (const one of candidates) one.load = proxy?.open.get(one.node) ?? 0;
      },
      listener: {
        leaseStarted: (lease) => {
          const proxy = proxies[turn % 2];
          if (proxy !== undefined) owners.set(lease, proxy);
          proxy?.open.set(lease.node, (proxy.open.get(lease.node) ?? 0) + 1);
          proxy?.knowledge.listener.leaseStarted?.(lease);
          turn += 1;
        },
        firstByte: (lease) => owners.get(lease)?.knowledge.listener.firstByte?.(lease),
        leaseEnded: (lease, outcome) => {
          const proxy = owners.get(lease);
          proxy?.open.set(lease.node, (proxy.open.get(lease.node) ?? 0) - 1);
          proxy?.knowledge.listener.leaseEnded?.(lease, outcome);
        },
      },
    };
    return { strategy, knowledge: [between] };
  };
}

interface Case {
  readonly workload?: Workload;
  readonly engine?: Partial<typeof params>;
  readonly cluster?: "equal" | "unequal";
  readonly event?: string;
  readonly make?: Make;
  /** What it is put beside; left out: least in-flight, as it is. */
  readonly beside?: Make;
}

const CASES: Readonly<Record<string, Case>> = {
  "all as it should be": {},
  "engines without a prefix cache": { engine: { prefixCache: false } },
  "a far smaller cache": { engine: { totalBlocks: 1_500 } },
  "answers that are not streamed": { workload: notStreamed },
  "not streamed, without a prefix cache": { workload: notStreamed, engine: { prefixCache: false } },
  "not streamed, unequal nodes": { workload: notStreamed, cluster: "unequal" },
  "a proxy that restarts": { make: restarted },
  "two proxies": { make: ofTwo(prefixAware), beside: ofTwo(minExpectedLatency) },
  "two proxies, without a prefix cache": {
    make: ofTwo(prefixAware),
    beside: ofTwo(minExpectedLatency),
    engine: { prefixCache: false },
  },
  "a node that lies": { make: liedTo },
  "a node that lies, without a prefix cache": { make: liedTo, engine: { prefixCache: false } },
  "a node that becomes ten times slower": { event: "slows@60:2" },
};

test.each(Object.entries(CASES))(
  "%s: p99 TTFT at most 1.1 times that of least in-flight",
  (_name, { workload: given = workload, engine = {}, cluster = "equal", event, make, beside }) => {
    const shape = clusterOf(cluster, 8);
    const happens = event === undefined ? null : eventOf(event);
    if (shape === null) throw new Error(`no cluster ${cluster}`);
    const p99 = (name: string, own?: Make) => {
      const contestant = own ?? contestantOf(name);
      if (contestant === null) throw new Error(`no strategy ${name}`);
      const { row } = replay({
        workload: given,
        cluster: { ...shape, events: happens === null ? [] : [happens] },
        model: { name: "m", params: { ...params, ...engine } },
        contestant: { name, make: contestant },
        seed: 1,
        rate: 1.5,
        closedLoop: false,
        stopwatch: () => 0,
      });
      expect(row.refused).toBe(0);
      return row.ttft_p99_s;
    };
    const ratio = p99("prefix_aware", make) / p99("min_expected_latency", beside);
    expect(ratio).toBeLessThan(1.1);
  },
);

test("an engine without a prefix cache is found out by its counters alone", () => {
  const shape = clusterOf("equal", 8);
  if (shape === null) throw new Error("no cluster");
  const believed = (prefixCache: boolean) => {
    const shares: number[] = [];
    const make = withKnowledge((fresh) => {
      const knowledge = fresh();
      return {
        listener: knowledge.listener,
        fill: (candidates, asked, nowMs) => {
          knowledge.fill(candidates, asked, nowMs);
          const most = Math.max(...candidates.map(({ cachedBytes }) => cachedBytes));
          shares.push(most / asked.promptBytes);
        },
      };
    });
    replay({
      workload: notStreamed,
      cluster: shape,
      model: { name: "m", params: { ...params, prefixCache } },
      contestant: { name: "prefix_aware", make },
      seed: 1,
      rate: 1.5,
      closedLoop: false,
      stopwatch: () => 0,
    });
    const last = shares.slice(-100);
    return last.reduce((sum, share) => sum + share, 0) / last.length;
  };
  expect(believed(false)).toBeLessThan(0.2);
  expect(believed(true)).toBeGreaterThan(0.5);
});
