/** Which path leads to which route. */
import { type Answer, EngineRefusal, jsonAnswer } from "../answer.ts";
import { type JsonObject, parseBody } from "../body.ts";
import type { Call, Engine } from "../engine.ts";
import { chatCompletions } from "./chat.ts";
import { health, openaiModels } from "./control.ts";
import { metrics } from "./metrics.ts";

type Route = (engine: Engine, call: Call, body: JsonObject) => Answer | Promise<Answer>;

/** POST paths that run the model; only these count as requests in `/debug/state`. */
const INFERENCE: Readonly<Record<string, Route>> = {
  "/v1/chat/completions": chatCompletions,
};

const GETS: Readonly<Record<string, (engine: Engine, call: Call) => Answer | Promise<Answer>>> = {
  "/health": health,
  "/v1/models": openaiModels,
  "/metrics": metrics,
  "/metrics/": metrics,
  "/debug/state": (engine) => jsonAnswer(engine.state()),
};

export function isInference(call: Call): boolean {
  return call.method === "POST" && Object.hasOwn(INFERENCE, call.path);
}

/** Answers a call. Throws `EngineRefusal` where a real engine would refuse. */
export async function route(engine: Engine, call: Call): Promise<Answer> {
  const inference = INFERENCE[call.path];
  if (call.method === "POST" && inference !== undefined) {
    if (engine.health === "sleeping") throw new EngineRefusal(503, "The engine is sleeping.");
    return inference(engine, call, parseBody(call.bytes));
  }
  const get = GETS[call.path];
  if (call.method === "GET" && get !== undefined) return get(engine, call);
  throw new EngineRefusal(404, "Not Found");
}
