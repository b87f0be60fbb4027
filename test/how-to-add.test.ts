/** ARCHITECTURE.md's worked examples of what can be added, followed to the letter. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { normaliseNodeUrl } from "../src/core/address/node-url.ts";
import type { Clock } from "../src/core/clock.ts";
import type { EngineFacts } from "../src/core/engine/engine-facts.ts";
import { ENGINE_FACTS } from "../src/core/engine/kinds.ts";
import { signalReader } from "../src/core/engine/load-signals.ts";
import { NOTHING_ASKED, type Strategy } from "../src/core/strategies/strategy.ts";
import { type Source, Sources } from "../src/discovery/source.ts";
import { Cluster, MODEL } from "../src/lab/cluster.ts";
import { until } from "./support/until.ts";

const ROOT = join(import.meta.dir, "..");
const PAGE = await Bun.file(join(ROOT, "ARCHITECTURE.md")).text();

/** Imports the block that begins with the comment `// path`, as if it lay at that path. */
async function imported(path: string): Promise<Readonly<Record<string, unknown>>> {
  const [, block] = new RegExp(`\`\`\`ts\\n *// ${path}\\n([^\`]+)\`\`\``).exec(PAGE) ?? [];
  if (block === undefined) throw new Error(`ARCHITECTURE.md has no example of ${path}`);
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-example-"));
  try {
    const file = join(folder, "example.ts");
    const resolved = block.replaceAll(
      /from "(\.{1,2}\/[^"]+)"/g,
      (_, to) => `from ${JSON.stringify(join(ROOT, path, "..", to))}`,
    );
    await Bun.write(file, resolved);
    const module: Record<string, unknown> = await import(file);
    return module;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function isFacts(value: unknown): value is EngineFacts {
  return typeof value === "object" && value !== null && "usage" in value && "health" in value;
}

test("a kind of engine: its file and its row", async () => {
  const { example: facts } = await imported("src/core/engine/kinds/example.ts");
  if (!isFacts(facts)) throw new Error("no facts");
  const read = signalReader({ ...ENGINE_FACTS, example: facts });
  const page = `example:kv_blocks 400
example:kv_blocks_used 100
example:batch_size 3
example:queue_size 2
example:state{state="serving"} 1`;
  expect(read(page)).toEqual({
    kind: "example",
    cacheUsage: 0.25,
    running: 3,
    waiting: 2,
    asleep: false,
  });
  expect(read("vllm:kv_cache_usage_perc 0.5").kind).toBe("vllm");
  expect(facts.health({ status: 503, body: '{"phase":"loading"}' })).toBe("initializing");
});

function isSourceOf(
  value: unknown,
): value is (read: () => Promise<string[]>, clock: Clock) => Source {
  return typeof value === "function";
}

test("a source of nodes: its file and its place in the list", async () => {
  const { listSource } = await imported("src/discovery/example.ts");
  if (!isSourceOf(listSource)) throw new Error("no source");
  const { registry, time } = new Cluster();
  const warned: string[] = [];
  let urls = ["http://10.0.0.1:1/", "http://10.0.0.2:1", "ftp://10.0.0.3", "http://10.9.0.1:1"];
  const clock = {
    now: time.now,
    wallMs: time.now,
    after: time.after,
    soon: (act: () => void) => void time.after(0, act),
    every: (ms: number, act: () => void): (() => void) => {
      let cancel = time.after(ms, function again() {
        act();
        cancel = time.after(ms, again);
      });
      return () => cancel();
    },
  };
  const source = listSource(() => Promise.resolve(urls), clock);
  const sources = new Sources([source], {
    membership: registry.membership,
    nodePolicy: { normalise: (url) => normaliseNodeUrl(url, {}) },
    refusal: ({ url }) => (url.includes("//10.9.") ? "not there" : null),
    warn: (message, { node, reason }) => warned.push(`${message} ${node}: ${reason}`),
  });
  const members = () => registry.nodes().map(({ url }) => url);
  sources.start();
  await Promise.resolve();
  await until("the first list is told", () => members().length > 0);
  expect(members()).toEqual(["http://10.0.0.1:1", "http://10.0.0.2:1"]);
  expect(warned).toHaveLength(2);
  expect(warned[1]).toBe("node left out http://10.9.0.1:1: not there");
  urls = ["http://10.0.0.2:1", "http://10.9.0.1:1"];
  time.advance(30_000);
  await until("the second list is told", () => members().length === 1);
  expect(members()).toEqual(["http://10.0.0.2:1"]);
  expect(warned).toHaveLength(2);
  sources.stop();
  expect(time.pending).toBe(0);
});

function isStrategy(value: unknown): value is Strategy {
  return typeof value === "function";
}

test("a strategy: its file, chosen from by the registry", async () => {
  const { example: strategy } = await imported("src/core/strategies/example.ts");
  if (!isStrategy(strategy)) throw new Error("no strategy");
  const cluster = new Cluster({ strategy });
  for (const speed of [1, 3, 2]) cluster.join(`n${speed}`, { speed });
  cluster.leaseOn(cluster.node("n1"));
  cluster.leaseOn(cluster.node("n3"));
  const pick = (promptBytes: number) => {
    const asked = { ...NOTHING_ASKED, promptBytes };
    const { registry } = cluster;
    const choice = registry.pick({ model: MODEL, role: "Hybrid", asked, tried: new Set() });
    return typeof choice === "string" ? choice : choice.node.url;
  };
  expect(pick(100)).toBe("http://n2");
  expect(pick(50_000)).toBe("http://n3");
});
