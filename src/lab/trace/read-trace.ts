/** Reads recorded traffic as it comes. The formats are told apart by what stands in the file. */

import { seededRandom } from "../../sim/model/seeded-random.ts";
import { AgentSessions } from "./agent-sessions.ts";
import { Bailian } from "./bailian.ts";
import { csv } from "./csv.ts";
import { mooncake } from "./mooncake.ts";
import { objectIn, type Reader } from "./reader.ts";
import { inOrder, type Trace, type TraceRequest } from "./trace.ts";
import { TraceError } from "./trace-error.ts";

/** Idle time costs a minute for each month: times that lie further apart are a mistake of units, or one of them is. */
export const MOST_DAYS = 366;
export const DAY_MS = 86_400_000;

/** Shorter steps matter to nobody, ms. */
const LEAST_STEP_MS = 500;
/** More of a file than any line has, characters: it is no text, or no lines. */
const LONGEST_LINE = 2 ** 28;

export class TraceReader {
  readonly #name: string;
  readonly #random: () => number;
  #reader: Reader | null = null;
  /** Of a line that has not ended. */
  #rest = "";
  #lines = 0;

  /**
   * @param name How the trace is called in tables.
   * @param seed Of when sessions begin, where the file does not say.
   */
  constructor(name: string, seed: number) {
    this.#name = name;
    this.#random = seededRandom(seed);
  }

  /** The next piece of the file, wherever it was cut. @throws TraceError */
  write(piece: string): void {
    const lines = piece.split("\n");
    const last = lines.pop() ?? "";
    for (const line of lines) {
      this.#line(this.#rest + line);
      this.#rest = "";
    }
    this.#rest += last;
    if (this.#rest.length > LONGEST_LINE) throw new TraceError("it has a line without an end.");
  }

  /** @throws TraceError */
  end(): Trace {
    this.#line(this.#rest);
    if (this.#reader === null) throw new TraceError("it is empty: there are no requests in it.");
    const { blockTokens, prefixes, requests } = this.#reader.end();
    if (requests.length === 0) throw new TraceError("it has no requests.");
    prefixes.forgetNames();
    const sorted = inOrder(requests);
    refuseEternity(sorted);
    return {
      ...{ name: this.#name, blockTokens, prefixes },
      ...{ stepMs: stepOf(sorted), requests: sorted },
    };
  }

  #line(text: string): void {
    this.#lines += 1;
    const line = this.#lines === 1 ? text.replace(/^\uFEFF/, "") : text;
    if (line.trim() === "") return;
    if (this.#reader !== null) {
      this.#reader.line(line, this.#lines);
    } else if (/^\s*[{[]/.test(line)) {
      this.#reader = this.#jsonReader(line);
      this.#reader.line(line, this.#lines);
    } else {
      this.#reader = csv(line);
    }
  }

  #jsonReader(line: string): Reader {
    if (/^\s*\[/.test(line)) {
      throw new TraceError("it is one list: write one object a line (`jq -c '.[]' FILE`).");
    }
    const { value } = objectIn(line, this.#lines);
    if ("requests" in value) return new AgentSessions(this.#random);
    if ("chat_id" in value) return new Bailian();
    if ("timestamp" in value && "input_length" in value) return mooncake();
    throw new TraceError(
      "The trace is of no known format: its first line has neither `requests`, nor `chat_id`, nor " +
        "`timestamp` and `input_length`, and it is no CSV with a header.",
    );
  }
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
