/** The schema that an application puts into its prompt when it asks for JSON mode, as instructor and others do. */
import { isObject, type JsonObject } from "../../core/json-object.ts";
import { contentText, listField } from "./body.ts";

/** Braces that are tried as the beginning of a schema. */
const MOST_TRIES = 100;

/** The first schema of an object in what a body says; null when there is none. */
export function promptSchema(body: JsonObject): JsonObject | null {
  const said = [...listField(body, "messages"), ...listField(body, "input")];
  const text = said
    .map((message) => contentText(isObject(message) ? message.content : message))
    .concat(contentText(body.instructions))
    .join("\n");
  let start = text.indexOf("{");
  for (let tries = 0; start >= 0 && tries < MOST_TRIES; tries += 1) {
    const found = objectAt(text, start);
    if (found !== null && isObject(found.properties)) return found;
    start = text.indexOf("{", start + 1);
  }
  return null;
}

/** The JSON object that begins there, or null. */
function objectAt(text: string, start: number): JsonObject | null {
  let depth = 0;
  // A string, or a single character outside of one.
  const part = /"(?:[^"\\]|\\.)*"|[{}]/gs;
  part.lastIndex = start;
  for (let found = part.exec(text); found !== null; found = part.exec(text)) {
    if (found[0] === "{") depth += 1;
    else if (found[0] === "}") depth -= 1;
    if (depth > 0) continue;
    return parsed(text.slice(start, part.lastIndex));
  }
  return null;
}

function parsed(json: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
