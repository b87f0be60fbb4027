/** Reading the fields of one line of a trace. */
import type { JsonObject } from "../../core/json-object.ts";
import { TraceError } from "./trace-error.ts";

export interface Line {
  /** Counted from 1. */
  readonly number: number;
  readonly value: JsonObject;
}

/** More of a value is not shown. */
const SHOWN = 40;

/** @returns What is thrown: where and what is wrong, what stands there, and so what to mend. */
export function wrong({ number, value }: Line, field: string, must: string): TraceError {
  const given = value[field];
  const shown = given === undefined ? "missing" : shorten(JSON.stringify(given));
  return new TraceError(
    `Line ${number} of the trace: \`${field}\` must be ${must}; it is ${shown}.`,
  );
}

export function shorten(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

/** A finite number that is not negative. @throws TraceError */
export function amount(line: Line, field: string): number {
  const given = line.value[field];
  if (typeof given === "number" && Number.isFinite(given) && given >= 0) return given;
  throw wrong(line, field, "a number, 0 or more");
}

export function amountOr(line: Line, field: string, fallback: number): number {
  const given = line.value[field];
  return given === undefined || given === null ? fallback : amount(line, field);
}

/** More than any engine holds; a body is built for each prompt. */
const MOST_TOKENS = 10_000_000;

/** Tokens: whole, and at least one, since an engine computes no less. @throws TraceError */
export function tokens(line: Line, field: string): number {
  const given = amount(line, field);
  if (given <= MOST_TOKENS) return Math.max(1, Math.round(given));
  throw wrong(line, field, `${MOST_TOKENS} or less`);
}

/** As `2023-11-16 18:15:46.6805900`, `2024-05-10T00:00:00Z`, `2024-05-10 00:00:00.009930+00:00`. */
const DATE =
  /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?)([.,]\d+)? ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?$/i;
const DECIMAL = /^\d+(?:\.\d*)?(?:e[+-]?\d+)?$/i;

/**
 * When something was, ms: a number, also in quotes, or a date, of UTC where it does not say.
 * @param unitMs Of numbers. @throws TraceError
 */
export function timeMs(line: Line, field: string, unitMs: 1 | 1_000): number {
  const given = line.value[field];
  if (typeof given === "number" && Number.isFinite(given) && given >= 0) return given * unitMs;
  const read = typeof given === "string" ? timeOf(given.trim(), unitMs) : Number.NaN;
  if (read >= 0 && read < Number.POSITIVE_INFINITY) return read;
  const unit = unitMs === 1 ? "ms" : "seconds";
  throw wrong(line, field, `${unit}, or a date such as 2024-05-10 00:00:00.25`);
}

function timeOf(text: string, unitMs: number): number {
  if (DECIMAL.test(text)) return Number(text) * unitMs;
  const match = DATE.exec(text);
  if (match === null) return Number.NaN;
  const [, day, time, fraction = ".0", zone = "Z"] = match;
  const offset = /^[a-z]/i.test(zone) ? "Z" : zone.replace(/^(...)(?::?(\d\d))?$/, "$1:$2");
  const whole = Date.parse(`${day}T${time}${offset.endsWith(":") ? `${offset}00` : offset}`);
  return whole + Number(fraction.replace(",", ".")) * 1_000;
}

/** The names of blocks; empty when there are none. @throws TraceError */
export function hashIds(line: Line): (number | string)[] {
  const given = line.value["hash_ids"] ?? [];
  if (Array.isArray(given) && given.every(isName)) return given;
  throw wrong(line, "hash_ids", "a list of numbers or strings");
}

/** What something is called. @throws TraceError */
export function nameIn(line: Line, field: string): string {
  const given = line.value[field];
  if (isName(given)) return String(given);
  throw wrong(line, field, "a number or a string");
}

function isName(value: unknown): value is number | string {
  return typeof value === "number" || typeof value === "string";
}
