/** Health, models and what an operator may ask of the engine. */
import { type Answer, EMPTY_ANSWER, EngineRefusal, jsonAnswer } from "../answer.ts";
import { booleanField, type JsonObject, numberField } from "../body.ts";
import { createdAt } from "../completion.ts";
import type { Call, Engine } from "../engine.ts";

const HEALTH_MESSAGES = {
  healthy: "The engine is running.",
  sleeping: "The engine is sleeping.",
  initializing: "The engine is starting.",
  unhealthy: "The engine does not respond.",
} as const;

/** GET /health: LMDeploy's JSON; an empty body from its older engines, vLLM and SGLang. */
export function health(engine: Engine): Answer {
  const { health, settings } = engine;
  const isUp = health !== "initializing" && health !== "unhealthy";
  const status = isUp ? 200 : 503;
  if (health === "empty" || settings.kind !== "lmdeploy") return { ...EMPTY_ANSWER, status };
  return jsonAnswer({ status: health, message: HEALTH_MESSAGES[health] }, status);
}

export function openaiModels(engine: Engine, call: Call): Answer {
  const created = createdAt();
  const { fault } = call;
  const names =
    fault?.kind === "models"
      ? Array.from({ length: fault.count }, (_, i) => `invented-${i}`)
      : engine.models;
  const data = names.map((id) => ({
    id,
    object: "model",
    created,
    owned_by: engine.settings.kind,
    root: id,
    parent: id === engine.models[0] ? null : engine.models[0],
    permission: [],
  }));
  return jsonAnswer({ object: "list", data });
}

/** GET /v1/models/{id}; the id as it stands in the path. */
export function openaiModel(engine: Engine, encodedId: string): Answer {
  const id = engine.models.find((model) => [model, encodeURIComponent(model)].includes(encodedId));
  if (id === undefined) throw new EngineRefusal(404, `The model '${encodedId}' does not exist.`);
  return jsonAnswer({ id, object: "model", created: createdAt(), owned_by: engine.settings.kind });
}

export function version(engine: Engine): Answer {
  return jsonAnswer({ version: `0.0.0+simulated.${engine.settings.kind}` });
}

export function terminate(engine: Engine): Answer {
  if (!engine.settings.allowTerminate) {
    throw new EngineRefusal(400, "The server can not be terminated by a client as it was started.");
  }
  engine.terminate();
  return EMPTY_ANSWER;
}

/** POST /sleep?level=1|2: gives the KV cache up, so what runs is aborted. */
export function sleep(engine: Engine, call: Call): Answer {
  const level = call.query.get("level") ?? "1";
  if (level !== "1" && level !== "2") {
    throw new EngineRefusal(400, 'The "level" query parameter must be 1 or 2.');
  }
  engine.sleep();
  return EMPTY_ANSWER;
}

/** POST /wakeup?tags=weights&tags=kv_cache: awake once both have come back. */
export function wakeup(engine: Engine, call: Call): Answer {
  engine.wake(call.query.getAll("tags"));
  return EMPTY_ANSWER;
}

export function isSleeping(engine: Engine): Answer {
  return jsonAnswer({ is_sleeping: engine.health === "sleeping" });
}

export function abortRequest(engine: Engine, _call: Call, body: JsonObject): Answer {
  if (booleanField(body, "abort_all")) {
    engine.abortAll();
    return EMPTY_ANSWER;
  }
  const session = numberField(body, "session_id") ?? -1;
  if (!engine.abort(session)) throw new EngineRefusal(400, `Session ${session} not found.`);
  return EMPTY_ANSWER;
}
