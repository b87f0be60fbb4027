/** What a test or a person may look at and change while the engine runs. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type Answer, jsonAnswer, UnfitBody } from "../answer.ts";
import type { Call } from "../call.ts";
import type { Engine } from "../engine.ts";
import { unfitAnswer } from "../errors.ts";
import { FaultRules } from "../faults.ts";

export function debugState(engine: Engine): Answer {
  return jsonAnswer(engine.state());
}

function jsonOf(call: Call): unknown {
  try {
    return JSON.parse(Buffer.from(call.bytes).toString("utf8"));
  } catch {
    return undefined;
  }
}

/** POST /debug/faults: the body is a list of fault rules, which replace the earlier ones. */
export function setFaults(engine: Engine, call: Call): Answer {
  const rules = jsonOf(call);
  if (!Value.Check(FaultRules, rules)) {
    const [first] = [...Value.Errors(FaultRules, rules)];
    return unfitAnswer(new UnfitBody([first?.path ?? ""], first?.message ?? "is no list of rules"));
  }
  engine.faults.set(rules);
  return jsonAnswer({ rules: rules.length });
}

const Changes = Type.Object({
  models: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
  health: Type.Optional(
    Type.Union([
      Type.Literal("healthy"),
      Type.Literal("sleeping"),
      Type.Literal("initializing"),
      Type.Literal("unhealthy"),
      Type.Literal("empty"),
    ]),
  ),
  /** As `RunningEngine.setPace`. */
  pace: Type.Optional(Type.Number({ minimum: 0 })),
  /** As `RunningEngine.die`. */
  dead: Type.Optional(Type.Literal(true)),
});

/** POST /debug/set: changes the served models (as loading an adapter does), the health or the pace. */
export function setState(engine: Engine, call: Call): Answer {
  const changes = jsonOf(call);
  if (!Value.Check(Changes, changes)) {
    return unfitAnswer(new UnfitBody([], "is {models?, health?, pace?, dead?}"));
  }
  engine.models = changes.models ?? engine.models;
  if (changes.health !== undefined) engine.health = changes.health;
  if (changes.pace !== undefined) engine.setPace(changes.pace);
  if (changes.dead) engine.die();
  return jsonAnswer({ models: engine.models, health: engine.health });
}
