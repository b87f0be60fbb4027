/** The tool call with which a simulated model answers a body that offers tools. */
import { isObject, type JsonObject, listField } from "./body.ts";

export interface ToolCall {
  readonly name: string;
  /** The arguments, JSON, in pieces of one token each. */
  readonly pieces: readonly string[];
}

const PIECE_CHARACTERS = 4;

/**
 * The first tool, or the one that `tool_choice` names, with an argument for every required
 * parameter; `null` when none is offered or wanted, and when the last message is a tool's result, so
 * that a client's loop comes to an end.
 */
export function toolCallFor(body: JsonObject, messages: readonly unknown[]): ToolCall | null {
  const tools = listField(body, "tools").filter(isObject);
  const last = messages[messages.length - 1];
  if (tools.length === 0 || body.tool_choice === "none" || answersTool(last)) return null;
  const functions = tools.map((tool) => (isObject(tool.function) ? tool.function : tool));
  const wanted = chosenName(body.tool_choice);
  const chosen = functions.find((one) => one.name === wanted) ?? functions[0];
  if (typeof chosen?.name !== "string") return null;
  const text = JSON.stringify(sample(chosen.parameters ?? chosen.input_schema));
  const pieces = text.match(new RegExp(`[^]{1,${PIECE_CHARACTERS}}`, "gu")) ?? [];
  return { name: chosen.name, pieces };
}

function answersTool(message: unknown): boolean {
  if (!isObject(message)) return false;
  if (message.role === "tool" || message.type === "function_call_output") return true;
  const parts = Array.isArray(message.content) ? message.content : [];
  return parts.some((part) => isObject(part) && part.type === "tool_result");
}

function chosenName(choice: unknown): unknown {
  if (!isObject(choice)) return undefined;
  return isObject(choice.function) ? choice.function.name : choice.name;
}

/** A value that fits a JSON schema, as far as tools use it. */
function sample(schema: unknown): unknown {
  if (!isObject(schema)) return {};
  if (Array.isArray(schema.enum)) return schema.enum[0];
  switch (schema.type) {
    case "string":
      return "Zürich 天";
    case "integer":
      return 3;
    case "number":
      return 1.5;
    case "boolean":
      return true;
    case "null":
      return null;
    case "array":
      return [sample(schema.items)];
    default:
      return sampleObject(schema);
  }
}

function sampleObject(schema: JsonObject): JsonObject {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required : Object.keys(properties);
  return Object.fromEntries(
    required.map((name) => [String(name), sample(properties[String(name)])]),
  );
}
