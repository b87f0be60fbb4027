/** Which path leads to which route. */
import type { EngineKind } from "../../../core/engine/kinds.ts";
import type { JsonObject } from "../../../core/json-object.ts";
import { type Answer, EngineRefusal, UnfitBody } from "../answer.ts";
import { parseBody } from "../body.ts";
import type { Call } from "../call.ts";
import type { Engine } from "../engine.ts";
import { notServed } from "../errors.ts";
import { departure } from "../respond.ts";
import { anthropicModels, countMessageTokens, messages } from "./anthropic.ts";
import { chatCompletions } from "./chat.ts";
import { completions } from "./completions.ts";
import {
  abortRequest,
  health,
  isSleeping,
  openaiModel,
  openaiModels,
  sleep,
  terminate,
  version,
  wakeup,
} from "./control.ts";
import { debugState, setFaults, setState } from "./debug.ts";
import { DISTSERVE_ROUTES, engineInfo, PEER_ROUTES } from "./distserve.ts";
import { isKeptPath, keptResponse } from "./kept-responses.ts";
import { metrics } from "./metrics.ts";
import {
  detokenize,
  embeddings,
  encodeTexts,
  generate,
  perplexity,
  pooling,
  rerank,
  scoreTexts,
  tokenize,
} from "./native.ts";
import { responses } from "./responses.ts";

type Route = (engine: Engine, call: Call) => Answer | Promise<Answer>;
type BodyRoute = (engine: Engine, call: Call, body: JsonObject) => Answer | Promise<Answer>;

/** POST paths that run the model; only these count as requests in `/debug/state`. */
const INFERENCE: Readonly<Record<string, BodyRoute>> = {
  "/v1/chat/completions": chatCompletions,
  "/v1/completions": completions,
  "/v1/responses": responses,
  "/v1/messages": messages,
  "/v1/messages/count_tokens": countMessageTokens,
  "/v1/embeddings": embeddings,
  "/v1/encode": encodeTexts,
  "/v1/rerank": rerank,
  "/v1/score": scoreTexts,
  "/generate": generate,
  "/pooling": pooling,
  "/get_ppl": perplexity,
  "/rerank": rerank,
  "/score": scoreTexts,
  "/tokenize": tokenize,
  "/detokenize": detokenize,
};

/** Paths of other kinds, which LMDeploy answers with 404. */
const FOREIGN = new Set([
  "/v1/rerank",
  "/v1/score",
  "/rerank",
  "/score",
  "/tokenize",
  "/detokenize",
  "/version",
  "/wake_up",
]);

/** POST paths of the control plane whose body is JSON. */
const CONTROL: Readonly<Record<string, BodyRoute>> = {
  "/abort_request": abortRequest,
  ...DISTSERVE_ROUTES,
  ...PEER_ROUTES,
};

/** Where LMDeploy asks for a JSON content type, with a body or without. */
const JSON_ALONE = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
  "/v1/messages",
  "/v1/messages/count_tokens",
  "/v1/encode",
  "/generate",
  "/pooling",
  "/get_ppl",
  "/sleep",
  "/wakeup",
]);

/** What a sleeping LMDeploy refuses; the rest it answers as if awake. */
const ASLEEP = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
  "/v1/messages",
  "/generate",
]);

const SLEEPING =
  "Engine is sleeping; call POST /wakeup before inference (e.g. tags=weights&tags=kv_cache).";

/** What needs no body, or reads it by itself. */
const PLAIN: Readonly<Record<string, Route>> = {
  "GET /health": health,
  "GET /v1/models": openaiModels,
  "GET /anthropic/v1/models": anthropicModels,
  "GET /version": version,
  "GET /metrics": metrics,
  "GET /metrics/": metrics,
  "GET /terminate": terminate,
  "GET /is_sleeping": isSleeping,
  "POST /sleep": sleep,
  "POST /wakeup": wakeup,
  "POST /wake_up": wakeup,
  "GET /distserve/engine_info": engineInfo,
  "GET /debug/state": debugState,
  "POST /debug/faults": setFaults,
  "POST /debug/set": setState,
};

const MODEL_PATH = "/v1/models/";

export function isInference(method: string, path: string): boolean {
  return method === "POST" && Object.hasOwn(INFERENCE, path);
}

/** Answers a call. Throws `EngineRefusal` where a real engine would refuse. */
export async function route(engine: Engine, call: Call): Promise<Answer> {
  const { method, path } = call;
  const { kind } = engine.settings;
  if (kind === "lmdeploy" && FOREIGN.has(path)) return notServed(404);
  const plain = PLAIN[`${method} ${path}`];
  if (plain !== undefined) {
    if (method === "POST" && kind === "lmdeploy") refuseForeignType(kind, call);
    return await plain(engine, call);
  }
  const bodyRoute = INFERENCE[path] ?? CONTROL[path];
  if (method === "POST" && bodyRoute !== undefined) {
    refuseForeignType(kind, call);
    if (INFERENCE[path] !== undefined) await meetSleep(engine, call);
    return await bodyRoute(engine, call, parseBody(call.bytes));
  }
  if (bodyRoute !== undefined) return notServed(405, { allow: "POST" });
  if (isKeptPath(path) && engine.kept !== null) return keptResponse(engine.kept, call);
  if (method === "GET" && path.startsWith(MODEL_PATH)) {
    return openaiModel(engine, path.slice(MODEL_PATH.length));
  }
  if (kind === "llamacpp") throw new EngineRefusal(404, "File Not Found");
  return notServed(404);
}

/** FastAPI reads a body as JSON if it says so, or says nothing; LMDeploy wants it said at some paths. */
function refuseForeignType(kind: EngineKind, { path, headers }: Call): void {
  if (kind === "llamacpp" || path.startsWith("/debug/") || path.startsWith("/sim/")) return;
  const type = headers.get("content-type")?.toLowerCase().split(";", 1)[0]?.trim();
  if (type === "application/json") return;
  if (JSON_ALONE.has(path)) {
    throw new UnfitBody([], "Unsupported Media Type: Only 'application/json' is allowed");
  }
  if (type === undefined || INFERENCE[path] === undefined) return;
  throw new UnfitBody([], "Input should be a valid dictionary or object to extract fields from");
}

/** LMDeploy refuses; vLLM takes the request and says nothing until it is woken; llama.cpp wakes up. */
async function meetSleep(engine: Engine, { path, signal }: Call): Promise<void> {
  if (!engine.isSleeping) return;
  switch (engine.settings.kind) {
    case "lmdeploy":
      if (ASLEEP.has(path)) throw new EngineRefusal(503, SLEEPING);
      return;
    case "llamacpp":
      engine.wake([]);
      return;
    default:
      await Promise.race([engine.whenAwake(), departure(signal)]);
  }
}
