import { isObject } from "../../core/json-object.ts";
import { type Line, shorten } from "./fields.ts";
import type { Recorded } from "./trace.ts";
import { TraceError } from "./trace-error.ts";

/** Makes requests of a file's lines, one format's. */
export interface Reader {
  /** One that is not empty. @param number Counted from 1, empty ones as well. @throws TraceError */
  line(text: string, number: number): void;
  end(): Recorded;
}

/** A line of JSON. @throws TraceError */
export function objectIn(text: string, number: number): Line {
  const value = parsed(text);
  if (isObject(value)) return { number, value };
  throw new TraceError(
    `Line ${number} of the trace is no JSON object: ${shorten(text.trim())} ` +
      "(each line must hold a whole one, as `jq -c` writes it; was the file cut off?)",
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
