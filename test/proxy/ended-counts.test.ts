/** What has ended in a worker may still show in its node's gauges, which the control plane reads: it is told. */
import { expect, test } from "bun:test";
import { shareMemory } from "../../src/cluster/memory.ts";
import { PROTOCOL, type ToControl } from "../../src/cluster/messages.ts";
import { Teller } from "../../src/cluster/tell.ts";
import { parseServeConfig } from "../../src/config/serve-config.ts";
import { Lease } from "../../src/core/pool/lease.ts";
import { NOTHING_ASKED } from "../../src/core/strategies/strategy.ts";
import { Cluster } from "../../src/lab/cluster.ts";
import { askEngines } from "../../src/proxy/ask-engines.ts";
import { type Begun, beginWorker } from "../../src/proxy/begin-worker.ts";
import { ProxyWorker } from "../../src/proxy/worker-process.ts";

interface Asked {
  readonly ask: number;
  readonly question: ToControl;
}

test("requests that end in a worker count for their node where its gauges are read", async () => {
  const cluster = new Cluster();
  const node = cluster.join("n0");
  cluster.pass(node);
  const counted = Promise.withResolvers<readonly [url: string, count: number]>();
  const control = {
    services: { registry: cluster.registry, discovery: { find: never, stillServes: never } },
    engines: { find: never, stillServes: never, isWell: never },
    events: {
      ended: ({ url }: typeof node, count: number) => counted.resolve([url, count]),
    },
  };
  const memory = shareMemory({ rows: 2, clients: 0 });
  const begun = Promise.withResolvers<Begun>();
  const ended = Promise.withResolvers<void>();
  const send = ({ ask, question }: Asked) => {
    // As between two processes.
    void askEngines(structuredClone(question), control).then(
      (value) => worker.receive({ answer: ask, value }),
      (error: Error) => worker.receive({ answer: ask, failed: error.message }),
    );
  };
  const worker = new ProxyWorker(
    (message) => isAsked(message) && send(message),
    ended.resolve,
    async (...given) => {
      const made = await beginWorker(...given);
      begun.resolve(made);
      return made;
    },
  );
  const config = parseServeConfig(["--log-level", "CRITICAL"], {}, () => "");
  if (config.help !== null) throw new Error("it should be a configuration");
  const teller = new Teller(
    cluster.registry,
    () => cluster.time.nowMs,
    () => {},
  );
  const question = {
    ...{ do: "begin", protocol: PROTOCOL, table: memory.path, size: memory.size, row: 1 },
    ...{ config: config.config, via: "1.1 x", news: teller.all() },
  };
  worker.receive({ ask: 1, question: structuredClone(question) });
  const { registry } = (await begun.promise).assembled.services;
  for (let i = 0; i < 3; i += 1) {
    const lease = registry.acquire({
      ...{ model: null, asked: NOTHING_ASKED, tried: new Set() },
      role: "Hybrid",
    });
    if (!(lease instanceof Lease)) throw new Error(`no node is there: ${lease}`);
    lease.end({ kind: "answered", status: 200 });
  }
  expect(await counted.promise).toEqual([node.url, 3]);
  worker.receive({ ask: 2, question: { do: "drain" } });
  await ended.promise;
  memory.remove();
});

function isAsked(message: unknown): message is Asked {
  return typeof message === "object" && message !== null && "ask" in message;
}

function never(): Promise<never> {
  return Promise.reject(new Error("nobody should ask this"));
}
