/**
 * The simulated engine's face: an LMDeploy api_server as far as a client or a proxy can see.
 *
 * `sim/engine-model.ts` is what computes; here requests arrive, are counted, may meet a fault
 * (`sim/faults.ts`) and go to their route.
 */
import { type Answer, EngineRefusal, jsonAnswer } from "./answer.ts";
import { type Call, Engine, type RequestEnd } from "./engine.ts";
import type { EngineOptions, RunningEngine } from "./engine-options.ts";
import type { HttpRequest } from "./http-reader.ts";
import { type Reply, startHttpServer } from "./http-server.ts";
import { register } from "./registration.ts";
import { departure, pause, respond } from "./respond.ts";
import { isInference, route } from "./routes/table.ts";

/** What is reached without a key: health, and what stands beside the engine for tests. */
const OPEN_PATHS = /^\/(health|debug|sim)(\/|$)/;

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
    onConnection: () => engine.countConnection(),
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
  engine.see(call, target);
  const onEnd = isInference(method, pathname) ? engine.open() : () => {};
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
  if (!isAuthorized(engine, call)) return jsonAnswer({ error: "Unauthorized" }, 401);
  try {
    return await route(engine, call);
  } catch (error) {
    if (!(error instanceof EngineRefusal)) throw error;
    return errorAnswer(engine, error);
  }
}

/** As LMDeploy: everything but `/health` needs the key, if there is one. */
function isAuthorized(engine: Engine, call: Call): boolean {
  const { apiKey } = engine.settings;
  if (apiKey === null || OPEN_PATHS.test(call.path)) return true;
  return call.headers.get("authorization") === `Bearer ${apiKey}`;
}

/** LMDeploy's flat error, or the envelope that vLLM and SGLang share with OpenAI. */
function errorAnswer(engine: Engine, refusal: EngineRefusal): Answer {
  const { message, type, status } = refusal;
  const error = { message, type, code: status, param: null };
  const isFlat = engine.settings.kind === "lmdeploy";
  return jsonAnswer(isFlat ? { ...error, object: "error" } : { error }, status);
}
