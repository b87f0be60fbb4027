/** Reading the JSON body of a request: unknown fields are kept out of the way, wrong types refused. */
import { EngineRefusal } from "./answer.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The body as an object. Throws `EngineRefusal` 400 for anything else. */
export function parseBody(bytes: Uint8Array): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new EngineRefusal(400, "The request body is not valid JSON.");
  }
  if (!isObject(value)) throw new EngineRefusal(400, "The request body is not a JSON object.");
  return value;
}

/** The number at the first of `names` that is set; `undefined` if none is. */
export function numberField(body: JsonObject, ...names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = body[name];
    if (value === undefined || value === null) continue;
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw new EngineRefusal(400, `The field '${name}' must be a number.`);
    }
    return value;
  }
  return undefined;
}

export function stringField(body: JsonObject, name: string): string | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") {
    throw new EngineRefusal(400, `The field '${name}' must be a string.`);
  }
  return value;
}

/** `false` when the field is missing or null. */
export function booleanField(body: JsonObject, name: string): boolean {
  const value = body[name];
  if (value === undefined || value === null) return false;
  if (typeof value !== "boolean") {
    throw new EngineRefusal(400, `The field '${name}' must be a boolean.`);
  }
  return value;
}

/** The list in a field, or the single value as a list of one; empty when it is missing. */
export function listField(body: JsonObject, name: string): readonly unknown[] {
  const value = body[name];
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/** Text of a message's or prompt's content, whatever its shape: parts are joined, others drawn as JSON. */
export function contentText(content: unknown): string {
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map(contentText).join("");
  if (isObject(content) && typeof content.text === "string") return content.text;
  return content === undefined || content === null ? "" : JSON.stringify(content);
}
