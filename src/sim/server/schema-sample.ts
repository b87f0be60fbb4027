/** A value that fits a JSON schema, as far as tools and structured outputs use them. */
import { isObject, type JsonObject } from "../../core/json-object.ts";
import { regexSample } from "./regex-sample.ts";

/** Deeper than this, whatever may be left out is. */
const MAX_DEPTH = 6;

const FORMATS: Readonly<Record<string, string>> = {
  "date-time": "2026-11-28T12:00:00Z",
  date: "2026-11-28",
  time: "12:00:00Z",
  duration: "PT1H",
  email: "ada@example.org",
  hostname: "example.org",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
  uri: "https://example.org/",
  uuid: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
};

const TEXT = "Zürich 天";

export function schemaSample(schema: unknown): unknown {
  return sample(schema, schema, 0);
}

function sample(schema: unknown, root: unknown, depth: number): unknown {
  if (!isObject(schema)) return {};
  if (typeof schema.$ref === "string") return sample(resolve(schema.$ref, root), root, depth + 1);
  if (schema.const !== undefined) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  const choices = [schema.anyOf, schema.oneOf].find(Array.isArray);
  if (choices !== undefined) return sample(chosen(choices, depth), root, depth + 1);
  if (Array.isArray(schema.allOf)) {
    return sample(
      Object.assign({}, schema, { allOf: undefined }, ...schema.allOf),
      root,
      depth + 1,
    );
  }
  switch (typeOf(schema)) {
    case "string":
      return sampleText(schema);
    case "integer":
    case "number":
      return sampleNumber(schema);
    case "boolean":
      return true;
    case "null":
      return null;
    case "array":
      return sampleList(schema, root, depth);
    default:
      return sampleObject(schema, root, depth);
  }
}

function typeOf({ type, items }: JsonObject): unknown {
  if (Array.isArray(type)) return type.find((one) => one !== "null") ?? "null";
  return type ?? (items === undefined ? undefined : "array");
}

/** The first of several, and `null` where a schema goes on for ever. */
function chosen(choices: readonly unknown[], depth: number): unknown {
  const empty = choices.find((choice) => isObject(choice) && choice.type === "null");
  return depth > MAX_DEPTH && empty !== undefined ? empty : choices[0];
}

/** Of `#/$defs/Name` and the like. */
function resolve(reference: string, root: unknown): unknown {
  let found = root;
  for (const name of reference.split("/").slice(1)) {
    found = isObject(found) ? found[name.replaceAll("~1", "/").replaceAll("~0", "~")] : undefined;
  }
  return found;
}

function sampleText({ pattern, format, minLength, maxLength }: JsonObject): string {
  if (typeof pattern === "string") return regexSample(pattern);
  const text = typeof format === "string" ? (FORMATS[format] ?? TEXT) : TEXT;
  const least = typeof minLength === "number" ? minLength : 0;
  const most = typeof maxLength === "number" ? maxLength : Number.POSITIVE_INFINITY;
  return [...text.padEnd(least, "a")].slice(0, most).join("");
}

function sampleNumber(schema: JsonObject): number {
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum, multipleOf } = schema;
  const step = typeof multipleOf === "number" ? multipleOf : 1;
  const isWhole = typeOf(schema) === "integer" || multipleOf !== undefined;
  const ideal = isWhole ? 3 * step : 1.5;
  const least = Math.max(
    typeof minimum === "number" ? minimum : Number.NEGATIVE_INFINITY,
    typeof exclusiveMinimum === "number" ? exclusiveMinimum + step : Number.NEGATIVE_INFINITY,
  );
  const most = Math.min(
    typeof maximum === "number" ? maximum : Number.POSITIVE_INFINITY,
    typeof exclusiveMaximum === "number" ? exclusiveMaximum - step : Number.POSITIVE_INFINITY,
  );
  const inside = Math.max(least, Math.min(most, ideal));
  return isWhole ? Math.ceil(inside / step) * step : inside;
}

function sampleList(schema: JsonObject, root: unknown, depth: number): unknown {
  const prefix = Array.isArray(schema.prefixItems) ? schema.prefixItems : [];
  const least = typeof schema.minItems === "number" ? schema.minItems : 0;
  const wanted = depth > MAX_DEPTH || schema.maxItems === 0 ? least : Math.max(1, least);
  const items = Array.from({ length: Math.max(prefix.length, wanted) }, (_, i) =>
    sample(prefix[i] ?? schema.items, root, depth + 1),
  );
  return prefix.length > 0 && schema.items === false ? items.slice(0, prefix.length) : items;
}

function sampleObject(schema: JsonObject, root: unknown, depth: number): JsonObject {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required : Object.keys(properties);
  return Object.fromEntries(
    required.map((name) => [String(name), sample(properties[String(name)], root, depth + 1)]),
  );
}
