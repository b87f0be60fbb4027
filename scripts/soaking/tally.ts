/** What became of requests, and what must be true of all of them together. */
import type { RawAnswer } from "../../test/support/raw-client.ts";

/** How one request ended for its client. */
export type Ending =
  /** A whole answer with status 200. */
  | "completed"
  /** An error instead of an answer. */
  | "failed"
  /** An answer that began and broke, visibly: its connection, or an error in its last event. */
  | "broken"
  /** The client left. */
  | "left"
  /** An answer that its framing calls whole, and that is not. */
  | "false_end";

export class Tally {
  readonly #counts = new Map<Ending, number>();

  add(ending: Ending): void {
    this.#counts.set(ending, this.of(ending) + 1);
  }

  of(ending: Ending): number {
    return this.#counts.get(ending) ?? 0;
  }

  /** All that were sent. */
  get sent(): number {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    return sum;
  }

  addAll(other: Tally): void {
    for (const [ending, count] of other.#counts) this.#counts.set(ending, this.of(ending) + count);
  }
}

/** Judges an answer by its bytes alone, as a client would. */
export function endingOf(answer: RawAnswer): Ending {
  const { status, complete, head, body } = answer;
  if (status !== 200) return "failed";
  if (!complete) return "broken";
  if (failsInside(body)) return "broken";
  const isEvents = /^content-type: text\/event-stream/im.test(head);
  const isWhole = isEvents ? endsStream(body) : endsJson(body);
  return isWhole ? "completed" : "false_end";
}

/** An engine that fails in mid-stream says so in an event, and ends as if all were well. */
function failsInside(body: Buffer): boolean {
  return /^data: ?\{"error"/m.test(body.subarray(-1_000).toString("latin1"));
}

function endsStream(body: Buffer): boolean {
  return body.subarray(-16).toString("latin1").endsWith("data: [DONE]\n\n");
}

function endsJson(body: Buffer): boolean {
  return /[}\]\n]$/.test(body.subarray(-1).toString("latin1"));
}

/** One line of the table. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  /** What was asked for; null where nothing was. */
  readonly goal: string | null;
  /** Whether it decides over the exit status, and if so whether it is as it must be. */
  readonly ok: boolean | null;
}

/** A count that must be reached exactly. */
export function exactly(name: string, got: number, wanted: number, of?: number): Figure {
  const suffix = of === undefined ? "" : ` of ${group(of)}`;
  return {
    name,
    value: group(got) + suffix,
    goal: group(wanted) + suffix,
    ok: got === wanted,
  };
}

/** A figure to look at. */
export function shown(name: string, value: string, goal: string | null = null): Figure {
  return { name, value, goal, ok: null };
}

export function group(count: number): string {
  return count.toLocaleString("en-US");
}

export function tableLines(figures: readonly Figure[]): string[] {
  const rows = figures.map(({ name, value, goal, ok }) => [
    name,
    value,
    goal ?? "",
    ok === null ? "" : ok ? "ok" : "OFF",
  ]);
  const all = [["figure", "value", "goal", ""], ...rows];
  const widths = [0, 1, 2].map((i) => Math.max(...all.map((row) => (row[i] ?? "").length)));
  return all.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
