/**
 * The simulated engine's face: an LMDeploy api_server as far as a client or a proxy can see.
 *
 * `sim/model/engine-model.ts` is what computes; here requests arrive, are counted, may meet a fault
 * (`faults.ts`) and go to their route.
 */
import { type Answer, EngineRefusal, Unhandled } from "./answer.ts";
import type { Call } from "./call.ts";
import { Engine } from "./engine.ts";
import type { EngineOptions, RunningEngine } from "./engine-options.ts";
import { errorAnswer, unauthorized } from "./errors.ts";
import type { HttpRequest } from "./http-reader.ts";
import { type Reply, startHttpServer } from "./http-server.ts";
import { register } from "./registration.ts";
import type { RequestEnd } from "./request-log.ts";
import { departure, pause, respond } from "./respond.ts";
import { isInference, route } from "./routes/table.ts";

/** What is reached without a key, by LMDeploy's prefixes; and what stands beside the engine for tests. */
const OPEN_PATHS = /^\/(health|docs|redoc|nodes|debug\/|sim\/)/;

/** vLLM asks under /v1 alone. */
const KEYED_PATHS = /^\/v1\//;

/**
 * Registers with the proxies, then listens. Rejects when the port is taken. With port 0 a free one
 * is found before registering, since the body names it.
 */
export async function startEngine(options: EngineOptions): Promise<RunningEngine> {
  const host = options.host ?? "127.0.0.1";
  const port = options.port || freePort(host);
  const authority = host.includes(":") ? `[${host}]` : host;
  const url = options.advertisedUrl ?? `http://${authority}:${port}`;
  const engine = new Engine(options, url);
  const { role, log } = engine.settings;
  for (const proxyUrl of options.proxyUrls ?? []) {
    await register(proxyUrl, { url, models: engine.models, role, speed: options.speed }, log);
  }
  const server = startHttpServer({
    hostname: host,
    port,
    onConnection: () => engine.log.countConnection(),
    answer: (request, signal) => serve(engine, request, signal),
  });
  log(`${role} engine with ${engine.models.join(", ")} listens on ${url}`);
  const stop = async (force = false) => {
    // The connections first: a stream that is cancelled while it still has one ends cleanly.
    const isStopped = server.stop(force);
    if (force) for (const { driver } of engine.ranks) driver.stop();
    await isStopped;
    for (const { driver } of engine.ranks) driver.stop();
  };
  const drain = async () => {
    const { kind } = engine.settings;
    if (kind === "sglang") {
      engine.health = "unhealthy";
      await engine.log.untilIdle();
    }
    await stop(kind === "llamacpp");
  };
  engine.terminate = () => {
    // The answer to /terminate has to get out first.
    setTimeout(() => stop().then(options.onTerminate), 0);
  };
  return {
    url,
    port,
    state: () => engine.state(),
    setFaults: (rules) => engine.faults.set(rules),
    setHealth: (health) => {
      engine.health = health;
    },
    setModels: (models) => {
      engine.models = models;
    },
    setPace: (factor) => engine.setPace(factor),
    die: () => engine.die(),
    drain,
    stop,
  };
}

function freePort(host: string): number {
  const probe = Bun.listen({ hostname: host, port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

async function serve(
  engine: Engine,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<Reply | null> {
  const { method, headers, body, target } = request;
  const { pathname, searchParams } = new URL(target, "http://engine");
  const fault = engine.faults.pick(method, pathname);
  const call = { method, path: pathname, fault, query: searchParams, headers, bytes: body, signal };
  engine.log.see(call, target);
  const onEnd = isInference(method, pathname) ? engine.log.open() : () => {};
  try {
    return await handle(engine, call, onEnd);
  } catch (error) {
    onEnd("failed");
    throw error;
  }
}

/** `null`: the connection is to be reset. */
async function handle(
  engine: Engine,
  call: Call,
  onEnd: (end: RequestEnd) => void,
): Promise<Reply | null> {
  const { fault, signal } = call;
  if (fault?.kind === "hang" && fault.at === "before-headers") {
    await departure(signal);
    onEnd("cancelled");
    return null;
  }
  if (fault?.kind === "reset") {
    onEnd("failed");
    return null;
  }
  if (fault?.kind === "slow") await pause(fault.firstByteMs ?? 0, signal);
  const answer =
    fault?.kind === "answer"
      ? { status: fault.status, headers: fault.headers ?? {}, body: fault.body ?? "" }
      : await answerOf(engine, call);
  if (signal.aborted) {
    onEnd("cancelled");
    if (typeof answer.body !== "string") await answer.body.return();
  }
  return respond(answer, { fault, signal, onEnd });
}

async function answerOf(engine: Engine, call: Call): Promise<Answer> {
  const { settings } = engine;
  try {
    if (call.fault?.kind === "exception") throw new Unhandled("as it was told");
    if (!isAuthorized(engine, call)) return unauthorized(settings, call.path);
    return withCors(engine, call, await route(engine, call));
  } catch (error) {
    if (error instanceof Unhandled) settings.log(`unhandled: ${error.message}`);
    if (!(error instanceof EngineRefusal)) throw error;
    return withCors(engine, call, errorAnswer(settings, call.path, error));
  }
}

/** LMDeploy lets every page of every site in, and says so. */
function withCors({ settings }: Engine, call: Call, answer: Answer): Answer {
  if (settings.kind !== "lmdeploy") return answer;
  const allowed = {
    "access-control-allow-origin": "*",
    "access-control-allow-credentials": "true",
  };
  const isCross = call.headers.has("origin");
  return { ...answer, headers: { ...answer.headers, vary: "Origin", ...(isCross && allowed) } };
}

/** LMDeploy asks for its key nearly everywhere, vLLM and SGLang where the API is. */
function isAuthorized({ settings }: Engine, { path, headers }: Call): boolean {
  const { apiKey, kind } = settings;
  const isOpen = kind === "lmdeploy" ? OPEN_PATHS.test(path) : !KEYED_PATHS.test(path);
  if (apiKey === null || isOpen) return true;
  return headers.get("authorization") === `Bearer ${apiKey}`;
}
