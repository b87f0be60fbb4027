/** Reading the fields of one line of a trace. */
import type { JsonObject } from "../../core/json-object.ts";
import { TraceError } from "./trace.ts";

export interface Line {
  /** Counted from 1. */
  readonly number: number;
  readonly value: JsonObject;
}

/** A finite number that is not negative. @throws TraceError */
export function amount({ number, value }: Line, field: string): number {
  const given = value[field];
  if (typeof given === "number" && Number.isFinite(given) && given >= 0) return given;
  throw new TraceError(`Line ${number} of the trace: \`${field}\` must be a number, 0 or more.`);
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
  throw new TraceError(
    `Line ${line.number} of the trace: \`${field}\` must be ${MOST_TOKENS} or less.`,
  );
}

/** The names of blocks; empty when there are none. @throws TraceError */
export function hashIds({ number, value }: Line): (number | string)[] {
  const given = value["hash_ids"] ?? [];
  if (Array.isArray(given) && given.every(isName)) return given;
  throw new TraceError(
    `Line ${number} of the trace: \`hash_ids\` must be a list of numbers or strings.`,
  );
}

/** What something is called. @throws TraceError */
export function nameIn({ number, value }: Line, field: string): string {
  const given = value[field];
  if (isName(given)) return String(given);
  throw new TraceError(`Line ${number} of the trace: \`${field}\` must be a number or a string.`);
}

function isName(value: unknown): value is number | string {
  return typeof value === "number" || typeof value === "string";
}
