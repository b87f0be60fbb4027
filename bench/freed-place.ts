/**
 * How long a place of an engine stands empty while requests wait in several workers: `bun bench/freed-place.ts
 * [--workers N] [--clients N] [--places N] [--answer-ms N] [--seconds N] [--executable PATH]`. There are more clients than
 * places, each with a connection of its own, and each asks again as soon as it has its answer: from the end of an
 * answer to the next request the engine sees what the proxy takes to hand a place on. Prints that, and the CPU time of
 * all processes of the proxy for each request. Without an executable it is this checkout that runs.
 */
import { Agent, request } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { freePort, killAllAtExit, killTree, spawnPlain } from "./host.ts";
import { cpuBetweenUs, readCpu } from "./process-tree.ts";

const { values } = parseArgs({
  options: {
    workers: { type: "string", default: "4" },
    clients: { type: "string", default: "64" },
    places: { type: "string", default: "4" },
    "answer-ms": { type: "string", default: "20" },
    seconds: { type: "string", default: "10" },
    executable: { type: "string" },
  },
});
const WARM_MS = 3_000;
const BODY = JSON.stringify({ model: "tiny", prompt: "x", max_tokens: 2 });

/** When places were freed that nobody has yet. */
const free: number[] = [];
const emptyMs: number[] = [];
let isMeasured = false;

const engine = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  routes: {
    "/health": new Response(),
    "/v1/models": Response.json({ object: "list", data: [{ id: "tiny", object: "model" }] }),
    "/metrics": new Response("", { status: 404 }),
  },
  fetch: async (asked) => {
    const since = free.shift();
    if (isMeasured && since !== undefined) emptyMs.push(performance.now() - since);
    await asked.bytes();
    await Bun.sleep(Number(values["answer-ms"]));
    free.push(performance.now());
    return Response.json({ choices: [{ text: "x" }] });
  },
});

function ask(port: number, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": BODY.length };
    const to = { host: "127.0.0.1", port, method: "POST", path: "/v1/completions" };
    const sent = request({ ...to, headers, agent }, (answer) => {
      answer.on("data", () => {});
      answer.on("error", reject);
      answer.on("end", () => resolve(answer.statusCode ?? 0));
    });
    sent.on("error", reject);
    sent.end(BODY);
  });
}

killAllAtExit();
const port = freePort();
const program =
  values.executable === undefined
    ? [process.execPath, join(import.meta.dir, "../src/main.ts")]
    : [values.executable];
const flags = ["--host", "127.0.0.1", "--port", String(port), "--node", engine.url.origin];
const limits = ["--max-concurrency", values.places, "--log-level", "error"];
const proxy = spawnPlain([...program, "serve", ...flags, ...limits, "--workers", values.workers]);
const first = new Agent();
while ((await ask(port, first).catch(() => 0)) !== 200) await Bun.sleep(50);

let refused = 0;
let isOver = false;
const clients = Array.from({ length: Number(values.clients) }, async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  while (!isOver) if ((await ask(port, agent).catch(() => 0)) !== 200) refused += 1;
});
await Bun.sleep(WARM_MS);
isMeasured = true;
const before = readCpu(proxy.pid);
await Bun.sleep(Number(values.seconds) * 1_000);
isMeasured = false;
const us = cpuBetweenUs(before, readCpu(proxy.pid));
isOver = true;
await Promise.all(clients);
await killTree(proxy);

emptyMs.sort((a, b) => a - b);
const shown = [0.5, 0.9, 0.99, 1].map((share) => {
  const at = Math.min(emptyMs.length - 1, Math.floor(share * emptyMs.length));
  return `${(emptyMs[at] ?? Number.NaN).toFixed(1)}`;
});
console.info(
  `${emptyMs.length} places handed on, ${refused} refused; empty for ms p50, p90, p99, most: ${shown.join(", ")}; ` +
    `${(us / emptyMs.length).toFixed(0)} µs of CPU a request`,
);
process.exit();
