/** Health, models and what an operator may ask of the engine. */

import type { JsonObject } from "../../../core/json-object.ts";
import { type Answer, EMPTY_ANSWER, EngineRefusal, jsonAnswer } from "../answer.ts";
import { booleanField, checkFields, numberField } from "../body.ts";
import type { Call } from "../call.ts";
import { createdAt, shortId } from "../completion.ts";
import type { Engine } from "../engine.ts";
import { notServed } from "../errors.ts";
import { pause } from "../respond.ts";
import { ABORT } from "./fields.ts";

const HEALTH_MESSAGES = {
  healthy: "Engine is healthy.",
  sleeping: "Engine is sleeping.",
  initializing: "Engine health monitor is starting.",
  unhealthy: "Backend health probe timed out after 10.0s.",
} as const;

/** GET /health: LMDeploy's JSON; an empty body from its older engines, vLLM and SGLang. */
export async function health(engine: Engine, call: Call): Promise<Answer> {
  const { settings } = engine;
  await pause(settings.healthDelayMs, call.signal);
  const { health } = engine;
  const isUp = health !== "initializing" && health !== "unhealthy";
  const status = isUp ? 200 : 503;
  if (settings.kind === "llamacpp") {
    const loading = { code: 503, message: "Loading model", type: "unavailable_error" };
    return jsonAnswer(isUp ? { status: "ok" } : { error: loading }, status);
  }
  if (health === "empty" || settings.kind !== "lmdeploy") return { ...EMPTY_ANSWER, status };
  return jsonAnswer({ status: health, message: HEALTH_MESSAGES[health] }, status);
}

export function openaiModels(engine: Engine, call: Call): Answer {
  const created = createdAt();
  const { fault } = call;
  const isLmdeploy = engine.settings.kind === "lmdeploy";
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
    parent: isLmdeploy || id === engine.models[0] ? null : engine.models[0],
    permission: [permission(created)],
  }));
  return jsonAnswer({ object: "list", data });
}

function permission(created: number): object {
  return {
    id: `modelperm-${shortId()}`,
    object: "model_permission",
    created,
    allow_create_engine: false,
    allow_sampling: true,
    allow_logprobs: true,
    allow_search_indices: true,
    allow_view: true,
    allow_fine_tuning: false,
    organization: "*",
    group: null,
    is_blocking: false,
  };
}

/** GET /v1/models/{id}, which LMDeploy does not have; the id as it stands in the path. */
export function openaiModel(engine: Engine, encodedId: string): Answer {
  if (engine.settings.kind === "lmdeploy") return notServed(404);
  const id = engine.models.find((model) => [model, encodeURIComponent(model)].includes(encodedId));
  if (id === undefined) throw new EngineRefusal(404, `The model '${encodedId}' does not exist.`);
  return jsonAnswer({ id, object: "model", created: createdAt(), owned_by: engine.settings.kind });
}

export function version(engine: Engine): Answer {
  return jsonAnswer({ version: `0.0.0+simulated.${engine.settings.kind}` });
}

export function terminate(engine: Engine): Answer {
  if (!engine.settings.allowTerminate) {
    throw new EngineRefusal(
      400,
      "The server can not be terminated. Please add --allow-terminate-by-client when start the server.",
    );
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
  return jsonAnswer({ is_sleeping: engine.isSleeping });
}

/** POST /abort_request, by the number that the client gave its request. */
export function abortRequest(engine: Engine, _call: Call, body: JsonObject): Answer {
  if (!engine.settings.handlesAborts) {
    const text =
      "This server does not support abort requests. Enable with --enable-abort-handling flag.";
    return { status: 501, headers: {}, body: text };
  }
  checkFields(body, ABORT);
  if (booleanField(body, "abort_all")) {
    engine.abortAll();
    return EMPTY_ANSWER;
  }
  const session = numberField(body, "session_id") ?? -1;
  if (!engine.abort(session)) throw new EngineRefusal(400, `Session ${session} not found.`);
  return EMPTY_ANSWER;
}
