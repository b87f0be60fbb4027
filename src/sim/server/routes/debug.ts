/** What a test or a person may look at and change while the engine runs. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type Answer, jsonAnswer, validationAnswer } from "../answer.ts";
import type { Call, Engine } from "../engine.ts";
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
    return validationAnswer(["body", first?.path ?? ""], first?.message ?? "is no list of rules");
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
});

/** POST /debug/set: changes the served models (as loading an adapter does) or the health. */
export function setState(engine: Engine, call: Call): Answer {
  const changes = jsonOf(call);
  if (!Value.Check(Changes, changes)) return validationAnswer(["body"], "is {models?, health?}");
  engine.models = changes.models ?? engine.models;
  engine.health = changes.health ?? engine.health;
  return jsonAnswer({ models: engine.models, health: engine.health });
}
