/** Reading the JSON body of a request as pydantic does: lax with numbers in strings, strict with the rest. */
import { isObject, type JsonObject } from "../../core/json-object.ts";
import { UnfitBody } from "./answer.ts";

/** The body as an object. Throws `UnfitBody` for anything else. */
export function parseBody(bytes: Uint8Array): JsonObject {
  if (bytes.length === 0) throw new UnfitBody([], "Field required");
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new UnfitBody([1], "JSON decode error");
  }
  if (!isObject(value)) {
    throw new UnfitBody([], "Input should be a valid dictionary or object to extract fields from");
  }
  return value;
}

/** What is wrong with a value, and where in it. */
interface Misfit {
  readonly at: readonly (string | number)[];
  readonly message: string;
}

export type Check = (value: unknown) => Misfit | null;

function misfit(message: string, at: readonly (string | number)[] = []): Misfit {
  return { at, message };
}

export const string: Check = (value) =>
  typeof value === "string" ? null : misfit("Input should be a valid string");

export const number: Check = (value) => {
  if (typeof value === "number" || typeof value === "boolean") return null;
  if (typeof value !== "string") return misfit("Input should be a valid number");
  return isNumeric(value)
    ? null
    : misfit("Input should be a valid number, unable to parse string as a number");
};

export const integer: Check = (value) => {
  if (typeof value === "boolean") return null;
  if (typeof value === "number") {
    return Number.isInteger(value)
      ? null
      : misfit("Input should be a valid integer, got a number with a fractional part");
  }
  if (typeof value !== "string") return misfit("Input should be a valid integer");
  return isNumeric(value) && Number.isInteger(Number(value))
    ? null
    : misfit("Input should be a valid integer, unable to parse string as an integer");
};

export const boolean: Check = (value) => {
  if (typeof value === "boolean" || value === 0 || value === 1) return null;
  if (typeof value !== "string" && typeof value !== "number") {
    return misfit("Input should be a valid boolean");
  }
  return BOOLEAN_WORDS.has(String(value).toLowerCase())
    ? null
    : misfit("Input should be a valid boolean, unable to interpret input");
};

export const object: Check = (value) =>
  isObject(value) ? null : misfit("Input should be a valid dictionary");

export const list: Check = (value) =>
  Array.isArray(value) ? null : misfit("Input should be a valid list");

export function listOf(item: Check): Check {
  return (value) => {
    if (!Array.isArray(value)) return list(value);
    for (const [index, one] of value.entries()) {
      const found = item(one);
      if (found !== null) return { ...found, at: [index, ...found.at] };
    }
    return null;
  };
}

/** Any of several; what is said is what is wrong with the first, under its name. */
export function either(first: string, check: Check, ...others: readonly Check[]): Check {
  return (value) => {
    const found = check(value);
    if (found === null || others.some((other) => other(value) === null)) return null;
    return { ...found, at: [first, ...found.at] };
  };
}

/** Fields of a body in their order, which is that of the complaints. */
export interface Fields {
  readonly required: Readonly<Record<string, Check>>;
  readonly optional: Readonly<Record<string, Check>>;
}

/** Throws `UnfitBody` for the first field that is missing or does not fit; null is as good as missing. */
export function checkFields(body: JsonObject, { required, optional }: Fields): void {
  for (const [name, check] of Object.entries(required)) {
    if (body[name] === undefined) throw new UnfitBody([name], "Field required");
    complain(name, check(body[name]));
  }
  for (const [name, check] of Object.entries(optional)) {
    const value = body[name];
    if (value !== undefined && value !== null) complain(name, check(value));
  }
}

function complain(name: string, found: Misfit | null): void {
  if (found !== null) throw new UnfitBody([name, ...found.at], found.message);
}

const BOOLEAN_WORDS = new Set([
  "true",
  "false",
  "yes",
  "no",
  "on",
  "off",
  "t",
  "f",
  "y",
  "n",
  "1",
  "0",
]);
const TRUE_WORDS = new Set(["true", "yes", "on", "t", "y", "1"]);

function isNumeric(text: string): boolean {
  return text.trim() !== "" && Number.isFinite(Number(text));
}

/** The number at the first of `names` that is set; `undefined` if none is. */
export function numberField(body: JsonObject, ...names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = body[name];
    if (value === undefined || value === null) continue;
    complain(name, number(value));
    return Number(value);
  }
  return undefined;
}

export function stringField(body: JsonObject, name: string): string | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  throw new UnfitBody([name], "Input should be a valid string");
}

/** `false` when the field is missing or null. */
export function booleanField(body: JsonObject, name: string): boolean {
  const value = body[name];
  if (value === undefined || value === null) return false;
  complain(name, boolean(value));
  return TRUE_WORDS.has(String(value).toLowerCase());
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
