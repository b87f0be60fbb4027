/**
 * Whether the live page names the one bad node of twenty, and what is wrong with it, within 30 s:
 * `bun scripts/name-the-fault.ts [FAULT...]`. Reads what the page is told and ranks it as the page does,
 * and knows nothing else. Prints when the first row named node and cause; ends with 1 if it did not.
 */

import { Cluster, isFrame, type NodeRow, nameOf } from "../src/page/cluster.ts";
import { FLOODED, ranked, SLOW, silenceOf, slownessOf } from "../src/page/rank.ts";
import { startEngine } from "../src/sim/server/api-server.ts";
import type { RunningEngine } from "../src/sim/server/engine-options.ts";
import { startProxy } from "../test/support/proxy.ts";

const ENGINES = 20;
const BAD = 7;
const CLIENTS = 20;
const BEFORE_MS = 12_000;
const LIMIT_MS = 30_000;
const FLOODING = 80;

interface Fault {
  readonly plant: (engine: RunningEngine, isOver: () => boolean) => void;
  /** What the first row has to say. */
  readonly isNamed: (node: NodeRow, nowMs: number) => boolean;
}

const isOut = (reason: RegExp) => (node: NodeRow) =>
  node.text("state") === "unhealthy" && reason.test(node.text("reason"));

const FAULTS: Readonly<Record<string, Fault>> = {
  killed: { plant: (engine) => void engine.stop(true), isNamed: isOut(/no connection/) },
  // Whoever hangs before a word is judged by it; in the middle of an answer nobody can tell for sure.
  hung: {
    plant: (engine) => engine.setPace(0),
    isNamed: (node, nowMs) => isOut(/sent nothing for/)(node) || silenceOf(node, nowMs) !== null,
  },
  slowed: {
    plant: (engine) => engine.setPace(0.2),
    isNamed: (node) => (slownessOf(node) ?? 0) >= SLOW,
  },
  failing: {
    plant: (engine) => {
      engine.setFaults([{ fault: { kind: "answer", status: 500, body: "CUDA error" } }]);
    },
    isNamed: isOut(/answered a request with 500/),
  },
  flooded: {
    plant: (engine, isOver) => {
      for (let at = 0; at < FLOODING; at += 1) void keepAsking(engine.url, false, 2_000, isOver);
    },
    isNamed: (node) => (node.number("foreign") ?? 0) >= FLOODED,
  },
};

async function keepAsking(url: string, stream: boolean, tokens: number, isOver: () => boolean) {
  while (!isOver()) {
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: "tiny",
        messages: [{ role: "user", content: "Who is it?" }],
        max_tokens: tokens,
        ignore_eos: true,
        stream,
      }),
    }).catch(() => null);
    await answer?.bytes().catch(() => {});
    await Bun.sleep(200);
  }
}

/** How long it took until the first row named it, ms; null when it did not. */
async function named(url: string, { isNamed }: Fault): Promise<number | null> {
  const begunMs = performance.now();
  const cluster = new Cluster();
  const abort = new AbortController();
  const answer = await fetch(`${url}/debug/live`, { signal: abort.signal });
  let rest = "";
  for await (const piece of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const frame: unknown = JSON.parse(line);
      if (isFrame(frame)) cluster.apply(frame);
    }
    const tookMs = performance.now() - begunMs;
    const [first] = ranked(cluster.nodes, null, cluster.tMs);
    const isIt = first !== undefined && nameOf(first) === `n${BAD}` && isNamed(first, cluster.tMs);
    if (!isIt && tookMs < LIMIT_MS) continue;
    abort.abort();
    if (!isIt && first !== undefined) {
      console.log(
        `         first: ${nameOf(first)} ${first.text("state")} ${first.text("reason")}`,
      );
    }
    return isIt ? tookMs : null;
  }
  return null;
}

async function tryOut(name: string, fault: Fault): Promise<boolean> {
  const engines = await Promise.all(
    Array.from({ length: ENGINES }, () => startEngine({ models: ["tiny"], timeScale: 1 })),
  );
  const nodes = engines.flatMap(({ url }, at) => ["--node", `n${at}=${url}`]);
  await using proxy = await startProxy(nodes);
  let isOver = false;
  for (let at = 0; at < CLIENTS; at += 1) void keepAsking(proxy.url, true, 60, () => isOver);
  await Bun.sleep(BEFORE_MS);
  const bad = engines[BAD];
  if (bad === undefined) throw new Error("no engine");
  fault.plant(bad, () => isOver);
  const tookMs = await named(proxy.url, fault);
  const says = tookMs === null ? "not named" : `named after ${(tookMs / 1_000).toFixed(1)} s`;
  console.log(`${name.padEnd(8)} ${says}`);
  isOver = true;
  await Promise.all(engines.map((engine) => engine.stop(true)));
  return tookMs !== null;
}

const wanted = process.argv.slice(2);
let allNamed = true;
for (const [name, fault] of Object.entries(FAULTS)) {
  if (wanted.length === 0 || wanted.includes(name)) {
    allNamed = (await tryOut(name, fault)) && allNamed;
  }
}
process.exit(allNamed ? 0 : 1);
