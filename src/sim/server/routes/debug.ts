/** What a test or a person may look at and change while the engine runs. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { isObject, type JsonObject } from "../../../core/json-object.ts";
import { nearestName } from "../../../core/nearest-name.ts";
import { type Answer, jsonAnswer } from "../answer.ts";
import type { Call } from "../call.ts";
import type { Engine } from "../engine.ts";
import { FAULT_RULE_MEMBERS, FaultRules, membersOfFault } from "../faults.ts";

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

/** No engine has these calls: so nobody's answer is copied, and what is wrong is said in a sentence. */
function refused(message: string): Answer {
  return jsonAnswer({ error: { message } }, 400);
}

/** What is said of a member that means nothing, which would otherwise change nothing and look done. */
function stray(given: JsonObject, known: readonly string[], where = ""): string | undefined {
  const name = Object.keys(given).find((one) => !known.includes(one));
  if (name === undefined) return undefined;
  const nearest = nearestName(name, known);
  const advice =
    nearest === undefined ? `there are ${known.join(", ")}` : `did you mean ${nearest}?`;
  return `${where}${name.slice(0, 40)} is no member here; ${advice}`;
}

/** POST /debug/faults: the body is a list of fault rules, which replace the earlier ones. */
export function setFaults(engine: Engine, call: Call): Answer {
  const rules = jsonOf(call);
  if (!Array.isArray(rules)) return refused("the body is a list of rules as JSON, [] for none");
  for (const [at, rule] of rules.entries()) {
    const said = isObject(rule) ? strayInRule(rule, at) : undefined;
    if (said !== undefined) return refused(said);
  }
  if (!Value.Check(FaultRules, rules)) {
    const [first] = [...Value.Errors(FaultRules, rules)];
    return refused(`${first?.path ?? ""}: ${first?.message ?? "is no rule"}`);
  }
  engine.faults.set(rules);
  return jsonAnswer({ rules: rules.length });
}

function strayInRule(rule: JsonObject, at: number): string | undefined {
  const { fault } = rule;
  const known = isObject(fault) ? membersOfFault(fault.kind) : [];
  return (
    stray(rule, FAULT_RULE_MEMBERS, `/${at}/`) ??
    // Of a kind that is none, that is what is wrong.
    (isObject(fault) && known.length > 0 ? stray(fault, known, `/${at}/fault/`) : undefined)
  );
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

const MEMBERS = Object.keys(Changes.properties);

/** What belongs into each. */
const EXPECTED: Readonly<Record<string, string>> = {
  models: "a list of names, not empty",
  health: "healthy, sleeping, initializing, unhealthy or empty",
  pace: "a number, 1 for as ever, 0 for not at all",
  dead: "true, or left out",
};

/** POST /debug/set: changes the served models (as loading an adapter does), the health or the pace. */
export function setState(engine: Engine, call: Call): Answer {
  const changes = jsonOf(call);
  if (!isObject(changes)) return refused(`the body is a JSON object of ${MEMBERS.join(", ")}`);
  const said = stray(changes, MEMBERS);
  if (said !== undefined) return refused(said);
  if (!Value.Check(Changes, changes)) {
    const member = Value.Errors(Changes, changes).First()?.path.split("/")[1] ?? "";
    return refused(`${member} must be ${EXPECTED[member]}`);
  }
  engine.models = changes.models ?? engine.models;
  if (changes.health !== undefined) engine.health = changes.health;
  if (changes.pace !== undefined) engine.setPace(changes.pace);
  if (changes.dead) engine.die();
  return jsonAnswer({ models: engine.models, health: engine.health });
}
