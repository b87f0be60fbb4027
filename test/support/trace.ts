import { TraceReader } from "../../src/lab/trace/read-trace.ts";
import type { Trace } from "../../src/lab/trace/trace.ts";

/** A trace out of a file's text. @throws TraceError */
export function readTrace(text: string): Trace {
  const reader = new TraceReader("t", 1);
  reader.write(text);
  return reader.end();
}
