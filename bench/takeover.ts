/**
 * What is lost when the proxy is replaced under load: `bun bench/takeover.ts [--takeovers N] [--workers N]
 * [--supervisor] [--from PATH]`. One process is replaced by `--takeover`, workers by an upgrade, or with
 * `--supervisor` by a takeover, too; all with the executable of `bun run build`, the first one with that of
 * `--from`. 500 streams are open all the time, and 200 short requests a second come, half over connections of
 * their own, half over kept ones; nothing is sent twice. Prints what became of them.
 */
import { copyFileSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { Agent, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { freePort } from "./host.ts";

const STREAMS = 500;
const SHORT_PER_S = 200;
/** A takeover waits until the one before is over. */
const BETWEEN_MS = 10_000;
const CHUNKS = 40;
const CHUNK_MS = 250;
const KEPT_CONNECTIONS = 50;

const { values } = parseArgs({
  options: {
    takeovers: { type: "string", default: "6" },
    workers: { type: "string", default: "0" },
    from: { type: "string" },
    supervisor: { type: "boolean", default: false },
  },
});
const workers = Number(values.workers);
const isTakeover = workers === 0 || values.supervisor;
const takeovers = Number(values.takeovers);
const built = join(import.meta.dir, "../lmproxy");
const folder = mkdtempSync(join(tmpdir(), "lmproxy-takeover-"));
const program = join(folder, "lmproxy");
const port = freePort();

/** Streams of numbered chunks, each with the next number. */
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
    if (!(await asked.text()).includes('"stream":true')) return Response.json({ choices: [] });
    const chunks = async function* () {
      for (let n = 0; n < CHUNKS; n += 1) {
        yield `data: ${JSON.stringify({ choices: [{ text: `${n} ` }] })}\n\n`;
        await Bun.sleep(CHUNK_MS);
      }
      yield "data: [DONE]\n\n";
    };
    return new Response(chunks(), { headers: { "content-type": "text/event-stream" } });
  },
});

/** The whole answer; rejects when the connection ends before. */
function post(body: object, agent: Agent | false): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const options = { host: "127.0.0.1", port, method: "POST", path: "/v1/completions" };
    const sent = request({ ...options, headers, agent }, (answer: IncomingMessage) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece: string) => {
        text += piece;
      });
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    sent.on("error", reject);
    sent.end(JSON.stringify({ model: "tiny", prompt: "x", ...body }));
  });
}

const whole = Array.from({ length: CHUNKS }, (_, n) => `${n} `).join("");
const counts = { streams: 0, short: 0 };
const lost: Record<string, number> = {};
let goesOn = true;

async function ask(kind: "streams" | "short", agent: Agent | false): Promise<void> {
  const answer = await post(kind === "streams" ? { stream: true } : {}, agent).catch(String);
  counts[kind] += 1;
  const fault = typeof answer === "string" ? answer : faultOf(kind, answer);
  if (fault !== null) lost[`${kind}: ${fault}`] = (lost[`${kind}: ${fault}`] ?? 0) + 1;
}

function faultOf(kind: "streams" | "short", { status, text }: { status: number; text: string }) {
  if (status !== 200) return `status ${status}`;
  if (kind === "short") return text === '{"choices":[]}' ? null : "another answer";
  const words = [...text.matchAll(/"text":"(\d+ )"/g)].map(([, word]) => word).join("");
  return words === whole && text.endsWith("data: [DONE]\n\n") ? null : "a cut stream";
}

async function stream(): Promise<void> {
  while (goesOn) await ask("streams", false);
}

async function shortRequests(): Promise<void> {
  // In turns: one that nobody uses for `--keep-alive` is closed, and may have a request on its way just then.
  const agent = new Agent({
    keepAlive: true,
    maxSockets: KEPT_CONNECTIONS,
    scheduling: "fifo",
  });
  const open = new Set<Promise<void>>();
  const startMs = performance.now();
  for (let sent = 0; goesOn; sent += 1) {
    const dueMs = startMs + (sent * 1_000) / SHORT_PER_S;
    const aheadMs = dueMs - performance.now();
    if (aheadMs > 1) await Bun.sleep(aheadMs);
    const asking = ask("short", sent % 2 === 0 ? agent : false).finally(() => open.delete(asking));
    open.add(asking);
  }
  await Promise.all(open);
  agent.destroy();
}

/** Resolves when it listens. */
async function startProxy(): Promise<Bun.Subprocess> {
  const flags = ["--host", "127.0.0.1", "--port", `${port}`, "--state", join(folder, "nodes.json")];
  const how = [
    ...(workers === 0 ? [] : ["--workers", `${workers}`]),
    ...(isTakeover ? ["--takeover"] : []),
  ];
  const command = [program, "serve", ...flags, ...how, "--node", engine.url.origin];
  const quiet = ["--access-log", "off", "--keep-alive", "5"];
  const child = Bun.spawn([...command, ...quiet], { stdout: "pipe", stderr: "ignore" });
  const said = await child.stdout.getReader().read();
  if (!new TextDecoder().decode(said.value).includes("listens on")) {
    throw new Error(`a proxy ended with ${await child.exited}`);
  }
  return child;
}

/** A running executable is never written to: another file takes its place. */
function install(path: string): void {
  copyFileSync(path, `${program}.new`);
  renameSync(`${program}.new`, program);
}

async function upgrade(): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/upgrade`, { method: "POST" });
  if (answer.status !== 200) throw new Error(await answer.text());
}

install(values.from ?? built);
const proxies = [await startProxy()];
// Until the node is well.
while ((await post({}, false)).status !== 200) await Bun.sleep(50);
const load = [...Array.from({ length: STREAMS }, stream), shortRequests()];
await Bun.sleep(BETWEEN_MS);
install(built);
const tookMs: number[] = [];
for (let i = 0; i < takeovers; i += 1) {
  const startMs = performance.now();
  if (isTakeover) proxies.push(await startProxy());
  else await upgrade();
  tookMs.push(Math.round(performance.now() - startMs));
  await Bun.sleep(BETWEEN_MS);
}
goesOn = false;
await Promise.all(load);
const last = proxies.at(-1);
last?.kill("SIGTERM");
const codes = await Promise.all(proxies.map(({ exited }) => exited));
const of = workers === 0 ? "" : ` of ${workers} workers`;
const what = `${isTakeover ? "takeovers" : "upgrades"}${of}`;
console.info(`${takeovers} ${what}, from start to listening ${tookMs.join(", ")} ms`);
console.info(`${counts.streams} streams and ${counts.short} short requests, lost:`, lost);
console.info(`exit codes ${codes.join(", ")}`);
await engine.stop(true);
rmSync(folder, { recursive: true });
