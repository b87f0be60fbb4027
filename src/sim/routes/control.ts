/** Health, models and what an operator may ask of the engine. */
import { type Answer, EMPTY_ANSWER, jsonAnswer } from "../answer.ts";
import { createdAt } from "../completion.ts";
import type { Engine } from "../engine.ts";

const HEALTH_MESSAGES = {
  healthy: "The engine is running.",
  sleeping: "The engine is sleeping.",
  initializing: "The engine is starting.",
  unhealthy: "The engine does not respond.",
} as const;

export function health(engine: Engine): Answer {
  if (engine.health === "empty" || engine.settings.kind !== "lmdeploy") {
    return engine.health === "unhealthy" ? { ...EMPTY_ANSWER, status: 503 } : EMPTY_ANSWER;
  }
  const isUp = engine.health === "healthy" || engine.health === "sleeping";
  return jsonAnswer(
    { status: engine.health, message: HEALTH_MESSAGES[engine.health] },
    isUp ? 200 : 503,
  );
}

export function openaiModels(engine: Engine): Answer {
  const created = createdAt();
  const data = engine.models.map((id) => ({
    id,
    object: "model",
    created,
    owned_by: engine.settings.kind,
    root: id,
    parent: null,
    permission: [],
  }));
  return jsonAnswer({ object: "list", data });
}
