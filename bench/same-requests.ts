/**
 * The same 200 requests through lmproxy and other LLM routers, one after the other: what of each reaches
 * the engine, and what of the answer the client. `bun bench/same-requests.ts [--lmproxy PATH]`. Each is
 * started as its documentation does; the others once more as in the benchmark: round robin, no retries.
 */
import { parseArgs } from "node:util";
import { type Contestant, lmproxyContestant } from "./contestants.ts";
import {
  freePort,
  killAllAtExit,
  killTree,
  removeScratch,
  scratchDirectory,
  spawnPinned,
} from "./host.ts";
import { routerContestants } from "./routers.ts";
import { SAMPLES } from "./sample-requests.ts";
import { type Kind, MODEL, type Sample } from "./samples.ts";

const ROUTERS = ["vllm-router", "sglang-router", "smg"];
const READY_MS = 90_000;
const ANSWER_MS = 30_000;

/** Answers the sample that it is told, and keeps the bodies that reach it. */
function startEngine() {
  const state = { sample: null as Sample | null, bodies: [] as Buffer[], others: 0 };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const bytes = Buffer.from(await request.bytes());
      const { sample } = state;
      if (sample !== null && request.method === "POST" && pathname === sample.path) {
        state.bodies.push(bytes);
        return answerOf(sample);
      }
      if (sample !== null && request.method === "POST") state.others += 1;
      if (pathname === "/v1/models") {
        return Response.json({
          object: "list",
          data: [{ id: MODEL, object: "model", owned_by: "x" }],
        });
      }
      if (pathname === "/health" || pathname === "/health_generate") return new Response("");
      if (pathname === "/get_model_info" || pathname === "/model_info") {
        return Response.json({ model_path: MODEL, served_model_name: MODEL, is_generation: true });
      }
      if (pathname.endsWith("server_info"))
        return Response.json({ served_model_name: MODEL, tp_size: 1 });
      if (pathname === "/version") return Response.json({ version: "0.32.0" });
      return Response.json({ detail: "Not Found" }, { status: 404 });
    },
  });
  return { state, url: server.url.origin, stop: () => server.stop(true) };
}

function answerOf({ answer: { status, type, pieces } }: Sample): Response {
  const headers = { "content-type": type, "x-engine": "kept" };
  const encoder = new TextEncoder();
  if (pieces.length === 1) return new Response(encoder.encode(pieces[0]), { status, headers });
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      for (const piece of pieces) {
        controller.enqueue(encoder.encode(piece));
        await Bun.sleep(1);
      }
      controller.close();
    },
  });
  return new Response(body, { status, headers });
}

/** What came of one request. */
interface Outcome {
  readonly kind: Kind;
  readonly atEngine: "same bytes" | "same JSON" | "changed" | "never came";
  readonly sent: number;
  readonly atClient:
    | "same bytes"
    | "same status, JSON or events"
    | "same status"
    | "another status";
}

function sameJson(one: string, other: string): boolean {
  try {
    return Bun.deepEquals(JSON.parse(one), JSON.parse(other), true);
  } catch {
    return false;
  }
}

/** The data of a stream's events, comments left out. */
function dataOf(stream: string): string[] {
  return [...stream.matchAll(/^data: ?(.*)$/gm)].map(([, data = ""]) => data);
}

function sameEvents(one: string, other: string): boolean {
  const [ours, theirs] = [dataOf(one), dataOf(other)];
  return (
    ours.length > 0 &&
    ours.length === theirs.length &&
    ours.every((data, at) => data === theirs[at] || sameJson(data, theirs[at] ?? ""))
  );
}

function atEngine(sent: string, bodies: readonly Buffer[]): Outcome["atEngine"] {
  const [first] = bodies;
  if (first === undefined) return "never came";
  const came = first.toString("utf8");
  if (came === sent) return "same bytes";
  return sameJson(came, sent) ? "same JSON" : "changed";
}

function atClient({ answer }: Sample, status: number, body: string): Outcome["atClient"] {
  const whole = answer.pieces.join("");
  if (status !== answer.status) return "another status";
  if (body === whole) return "same bytes";
  return sameJson(body, whole) || sameEvents(body, whole)
    ? "same status, JSON or events"
    : "same status";
}

async function ask(url: string, sample: Sample): Promise<{ status: number; body: string }> {
  const answer = await fetch(url + sample.path, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "*/*" },
    body: sample.body,
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  return { status: answer.status, body: Buffer.from(await answer.bytes()).toString("utf8") };
}

async function untilReady(url: string, engine: ReturnType<typeof startEngine>): Promise<void> {
  const [sample] = SAMPLES;
  if (sample === undefined) throw new Error("no samples");
  for (const startedAtMs = performance.now(); performance.now() - startedAtMs < READY_MS; ) {
    engine.state.sample = sample;
    const answer = await ask(url, sample).catch(() => null);
    if (answer?.status === 200) return;
    await Bun.sleep(200);
  }
  throw new Error(`${url} gives no answer`);
}

/** As documentation starts it: nothing but what to listen on and where the engine is. */
function plain(command: readonly string[], port: number, node: string): string[] {
  const [program = "", first = ""] = command;
  return [
    ...[program, ...(first === "launch" ? [first] : [])],
    ...["--host", "127.0.0.1", "--port", String(port), "--worker-urls", node],
    ...["--prometheus-port", String(freePort())],
  ];
}

async function outcomesOf(contestant: Contestant, isPlain: boolean): Promise<Outcome[]> {
  const engine = startEngine();
  const directory = scratchDirectory(contestant.name);
  const port = freePort();
  const prepared = await contestant.prepare({ port, nodes: [engine.url], directory });
  const command = isPlain ? plain(prepared.command, port, engine.url) : prepared.command;
  const env = { ...prepared.env, LMPROXY_DISABLE_CACHE_STATUS: "true" };
  const child = spawnPinned(command, { core: null, env });
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilReady(url, engine);
    const outcomes: Outcome[] = [];
    for (const sample of SAMPLES) {
      Object.assign(engine.state, { sample, bodies: [], others: 0 });
      const got = await ask(url, sample).catch(() => ({ status: 0, body: "" }));
      outcomes.push({
        kind: sample.kind,
        atEngine: atEngine(sample.body, engine.state.bodies),
        sent: engine.state.bodies.length + engine.state.others,
        atClient: atClient(sample, got.status, got.body),
      });
    }
    return outcomes;
  } finally {
    await killTree(child);
    engine.stop();
    removeScratch(directory);
  }
}

const ENGINE = ["same bytes", "same JSON", "changed", "never came"] as const;
const CLIENT = [
  "same bytes",
  "same status, JSON or events",
  "same status",
  "another status",
] as const;

function table(results: ReadonlyMap<string, readonly Outcome[]>): string {
  const kinds = [...new Set(SAMPLES.map(({ kind }) => kind))];
  const names = [...results.keys()];
  const row = (title: string, read: (outcomes: readonly Outcome[]) => number) =>
    `| ${[title, ...names.map((name) => read(results.get(name) ?? []))].join(" | ")} |`;
  return [
    `| | ${names.join(" | ")} |`,
    `| --- | ${names.map(() => "---").join(" | ")} |`,
    ...ENGINE.map((how) =>
      row(`at the engine: ${how}`, (all) => all.filter(({ atEngine }) => atEngine === how).length),
    ),
    ...kinds.map((kind) =>
      row(
        `of ${SAMPLES.filter((one) => one.kind === kind).length} ${kind}, same bytes`,
        (all) => all.filter((one) => one.kind === kind && one.atEngine === "same bytes").length,
      ),
    ),
    ...CLIENT.map((how) =>
      row(`at the client: ${how}`, (all) => all.filter(({ atClient }) => atClient === how).length),
    ),
    row("calls that the engine got", (all) => all.reduce((sum, { sent }) => sum + sent, 0)),
  ].join("\n");
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { lmproxy: { type: "string" } } });
  killAllAtExit();
  const routers = (await routerContestants()).filter(({ name }) => ROUTERS.includes(name));
  const results = new Map<string, readonly Outcome[]>();
  for (const contestant of [lmproxyContestant(values.lmproxy), ...routers]) {
    const version = await contestant.version();
    if (version instanceof Error) {
      console.error(`${contestant.name} is left out: ${version.message}`);
      continue;
    }
    console.error(`${contestant.name}: ${version}`);
    results.set(contestant.name, await outcomesOf(contestant, true));
    if (contestant.isBuild === true) continue;
    results.set(`${contestant.name}, tuned`, await outcomesOf(contestant, false));
  }
  console.log(table(results));
  const ours = results.get("lmproxy") ?? [];
  return ours.length === SAMPLES.length && ours.every((one) => one.atEngine === "same bytes")
    ? 0
    : 1;
}

process.exit(await main());
