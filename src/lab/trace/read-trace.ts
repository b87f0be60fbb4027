/** Reads recorded traffic. Four formats, told apart by what stands in the file. */

import { isObject } from "../../core/json-object.ts";
import { seededRandom } from "../../sim/model/seeded-random.ts";
import { agentSessions } from "./agent-sessions.ts";
import { azure } from "./azure.ts";
import { bailian } from "./bailian.ts";
import type { Line } from "./fields.ts";
import { mooncake } from "./mooncake.ts";
import { type Recorded, type Trace, TraceError, type TraceRequest } from "./trace.ts";

/** Idle time costs a minute for each month: times that lie further apart are a mistake of units, or one of them is. */
const MOST_DAYS = 366;
const DAY_MS = 86_400_000;

/** Shorter steps matter to nobody, ms. */
const LEAST_STEP_MS = 500;

/**
 * @param name How the trace is called in tables.
 * @param seed Of when sessions begin, where the file does not say.
 * @throws TraceError
 */
export function readTrace(name: string, text: string, seed: number): Trace {
  const { blockTokens, requests } = readRecorded(text, seededRandom(seed));
  const [first] = requests;
  if (first === undefined) throw new TraceError(`${name} has no requests.`);
  const order = requests.map((_, i) => i);
  order.sort((a, b) => (requests[a]?.atMs ?? 0) - (requests[b]?.atMs ?? 0) || a - b);
  const places = new Map(order.map((from, to) => [from, to]));
  const startMs = requests[order[0] ?? 0]?.atMs ?? 0;
  const sorted = order.flatMap((from) => {
    const request = requests[from];
    if (request === undefined) return [];
    return [{ ...request, atMs: request.atMs - startMs, after: places.get(request.after) ?? -1 }];
  });
  refuseEternity(sorted);
  return { name, blockTokens, stepMs: stepOf(sorted), requests: sorted };
}

/** @throws TraceError */
function refuseEternity(requests: readonly TraceRequest[]): void {
  for (const { atMs, pauseMs } of requests) {
    if (Math.max(atMs, pauseMs) <= MOST_DAYS * DAY_MS) continue;
    throw new TraceError(
      `Its times lie more than ${MOST_DAYS} days apart, from the first to the last. Are all in the unit ` +
        "format: ms in Mooncake's, else seconds?",
    );
  }
}

function readRecorded(text: string, random: () => number): Recorded {
  const body = text.replace(/^\uFEFF/, "");
  if (body.trim() === "") throw new TraceError("the file is empty: there are no requests in it.");
  if (!body.trimStart().startsWith("{")) return azure(body);
  const lines = jsonLines(body);
  const first = lines[0]?.value ?? {};
  if ("requests" in first) return agentSessions(lines, random);
  if ("chat_id" in first) return bailian(lines);
  if ("timestamp" in first && "input_length" in first) return mooncake(lines);
  throw new TraceError(
    "The trace is of no known format: its first line has neither `requests`, nor `chat_id`, nor " +
      "`timestamp` and `input_length`, and it is no CSV with a header.",
  );
}

function jsonLines(text: string): Line[] {
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    const value = parsed(line);
    if (!isObject(value)) throw new TraceError(`Line ${i + 1} of the trace is no JSON object.`);
    return [{ number: i + 1, value }];
  });
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/**
 * The step in which times were recorded, ms: several requests share a time, and nearly all gaps between
 * times are the same, or multiples of it, give or take rounding. 0 when there is none.
 */
function stepOf(requests: readonly TraceRequest[]): number {
  const times = [...new Set(requests.map(({ atMs }) => atMs))];
  const gaps = times.slice(1).map((atMs, i) => atMs - (times[i] ?? 0));
  const step = gaps.toSorted((a, b) => a - b)[gaps.length >> 1] ?? 0;
  if (step < LEAST_STEP_MS || requests.length < 2 * times.length) return 0;
  const regular = gaps.filter((gap) => Math.abs(gap / step - Math.round(gap / step)) < 0.01);
  return regular.length >= 0.9 * gaps.length ? step : 0;
}
