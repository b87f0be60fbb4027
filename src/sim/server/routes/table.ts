/** Which path leads to which route. */
import { type Answer, EngineRefusal } from "../answer.ts";
import { type JsonObject, parseBody } from "../body.ts";
import type { Call, Engine } from "../engine.ts";
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

type Route = (engine: Engine, call: Call) => Answer;
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

/** POST paths of the control plane whose body is JSON. */
const CONTROL: Readonly<Record<string, BodyRoute>> = {
  "/abort_request": abortRequest,
  ...DISTSERVE_ROUTES,
  ...PEER_ROUTES,
};

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
  const plain = PLAIN[`${method} ${path}`];
  if (plain !== undefined) return plain(engine, call);
  if (method === "POST") {
    const bodyRoute = INFERENCE[path] ?? CONTROL[path];
    if (bodyRoute === undefined) throw new EngineRefusal(404, "Not Found");
    if (engine.health === "sleeping" && INFERENCE[path] !== undefined) {
      throw new EngineRefusal(503, "Engine is sleeping; call POST /wakeup before inference.");
    }
    return await bodyRoute(engine, call, parseBody(call.bytes));
  }
  if (method === "GET" && path.startsWith(MODEL_PATH)) {
    return openaiModel(engine, path.slice(MODEL_PATH.length));
  }
  if (Object.hasOwn(INFERENCE, path)) throw new EngineRefusal(405, "Method Not Allowed");
  throw new EngineRefusal(404, "Not Found");
}
