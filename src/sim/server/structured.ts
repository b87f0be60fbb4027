/** Structured outputs: the text to which a body holds its answer, in the words of all engines. */
import { isObject, type JsonObject } from "../../core/json-object.ts";
import { promptSchema } from "./prompt-schema.ts";
import { regexSample } from "./regex-sample.ts";
import { schemaSample } from "./schema-sample.ts";

const PIECE_CHARACTERS = 4;

/** A text in pieces of one token each. */
export function piecesOf(text: string): readonly string[] {
  return text.match(new RegExp(`[^]{1,${PIECE_CHARACTERS}}`, "gu")) ?? [];
}

/**
 * The answer that fits `response_format`, Responses' `text.format`, Anthropic's `output_config.format`,
 * vLLM's `structured_outputs` and `guided_…`, or SGLang's `regex` and `json_schema`, in pieces; `null`
 * when none of them is there.
 */
export function structuredPieces(body: JsonObject): readonly string[] | null {
  const text = structuredText(body);
  return text === null ? null : piecesOf(text);
}

function structuredText(body: JsonObject): string | null {
  const text = isObject(body.text) ? body.text.format : undefined;
  const config = isObject(body.output_config) ? body.output_config : {};
  const outputs = isObject(body.structured_outputs) ? body.structured_outputs : {};
  return (
    formatText(body.response_format, body) ??
    formatText(text, body) ??
    formatText(config.format ?? body.output_format, body) ??
    choiceText(outputs.choice ?? body.guided_choice) ??
    patternText(outputs.regex ?? body.guided_regex ?? body.regex) ??
    schemaText(outputs.json ?? body.guided_json ?? body.json_schema) ??
    (outputs.json_object === true ? schemaText({}) : null)
  );
}

const ANY_OBJECT = { type: "object", properties: { answer: { type: "string" } } };

/** A `response_format`, or the flat form of it that Responses has. */
function formatText(format: unknown, body: JsonObject): string | null {
  if (!isObject(format)) return null;
  switch (format.type) {
    case "json_object":
      return schemaText(promptSchema(body) ?? ANY_OBJECT);
    case "json_schema": {
      const { json_schema: nested } = format;
      return schemaText(isObject(nested) ? nested.schema : format.schema);
    }
    case "regex_schema":
      return patternText(format.regex_schema);
    default:
      return null;
  }
}

function schemaText(schema: unknown): string | null {
  if (typeof schema === "string") return parsedSchemaText(schema);
  return isObject(schema) ? JSON.stringify(schemaSample(schema)) : null;
}

function parsedSchemaText(schema: string): string | null {
  try {
    return JSON.stringify(schemaSample(JSON.parse(schema)));
  } catch {
    return null;
  }
}

function patternText(pattern: unknown): string | null {
  return typeof pattern === "string" ? regexSample(pattern) : null;
}

function choiceText(choices: unknown): string | null {
  const [first]: readonly unknown[] = Array.isArray(choices) ? choices : [];
  return typeof first === "string" ? first : null;
}
