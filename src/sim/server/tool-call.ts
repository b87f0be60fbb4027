/** The tool call with which a simulated model answers a body that offers tools. */
import { isObject, type JsonObject } from "../../core/json-object.ts";
import { listField } from "./body.ts";
import { schemaSample } from "./schema-sample.ts";
import { piecesOf } from "./structured.ts";

export interface ToolCall {
  readonly name: string;
  /** The arguments, JSON, in pieces of one token each. */
  readonly pieces: readonly string[];
}

/**
 * The first tool, or the one that `tool_choice` names, with an argument for every required
 * parameter; `null` when none is offered or wanted, and when the last message is a tool's result, so
 * that a client's loop comes to an end.
 */
export function toolCallFor(body: JsonObject, messages: readonly unknown[]): ToolCall | null {
  const tools = listField(body, "tools").filter(isObject);
  const last = messages[messages.length - 1];
  if (tools.length === 0 || isNone(body.tool_choice) || answersTool(last)) return null;
  const functions = tools.map((tool) => (isObject(tool.function) ? tool.function : tool));
  const wanted = chosenName(body.tool_choice);
  const chosen = functions.find((one) => one.name === wanted) ?? functions[0];
  if (typeof chosen?.name !== "string") return null;
  const text = JSON.stringify(schemaSample(chosen.parameters ?? chosen.input_schema));
  return { name: chosen.name, pieces: piecesOf(text) };
}

function answersTool(message: unknown): boolean {
  if (!isObject(message)) return false;
  if (message.role === "tool" || message.type === "function_call_output") return true;
  const parts = Array.isArray(message.content) ? message.content : [];
  return parts.some((part) => isObject(part) && part.type === "tool_result");
}

/** OpenAI's word and Anthropic's object. */
function isNone(choice: unknown): boolean {
  return choice === "none" || (isObject(choice) && choice.type === "none");
}

/** OpenAI's and Anthropic's name of a tool, or the first of those that OpenAI's `allowed_tools` names. */
function chosenName(choice: unknown): unknown {
  if (!isObject(choice)) return undefined;
  if (choice.type === "allowed_tools") {
    const allowed = isObject(choice.allowed_tools) ? choice.allowed_tools : choice;
    return chosenName(listField(allowed, "tools")[0]);
  }
  return isObject(choice.function) ? choice.function.name : choice.name;
}
