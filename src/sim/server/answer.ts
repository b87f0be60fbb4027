/** What a route of the simulated engine answers, before it becomes an HTTP response. */
import { pythonJson } from "./python-json.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A generator is streamed piece by piece; ending it early cancels what makes it. */
  readonly body: string | AsyncGenerator<string, void>;
  /** The connection is closed behind it, unannounced. */
  readonly closes?: boolean;
}

export function jsonAnswer(value: unknown, status = 200): Answer {
  const headers = { "content-type": "application/json" };
  return { status, headers, body: JSON.stringify(value) };
}

export function textAnswer(body: string, contentType = "text/plain; charset=utf-8"): Answer {
  return { status: 200, headers: { "content-type": contentType }, body };
}

/** A 200 without a body, as LMDeploy's control endpoints give. */
export const EMPTY_ANSWER: Answer = { status: 200, headers: {}, body: "" };

export function eventStream(events: AsyncGenerator<string, void>): Answer {
  return {
    status: 200,
    headers: { "content-type": "text/event-stream; charset=utf-8" },
    body: events,
  };
}

/** One event as pydantic writes it: no spaces, UTF-8. */
export function sseEvent(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** One event as Python's `json.dumps` writes it: spaces, and ASCII alone. */
export function asciiEvent(data: unknown): string {
  return `data: ${pythonJson(data, "ascii")}\n\n`;
}

/** One event of the APIs that name them: spaces, UTF-8. */
export function namedEvent(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${pythonJson(data, "utf-8")}\n\n`;
}

export const SSE_DONE = "data: [DONE]\n\n";

/** A refusal by the engine, or its failure, drawn in the shape of its path and kind by `errors.ts`. */
export class EngineRefusal extends Error {
  override readonly name = "EngineRefusal";
  readonly status: number;
  /** The field it is about, where the API says so. */
  readonly param: string | null;

  constructor(status: number, message: string, param: string | null = null) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

/** A body that does not fit its model, as pydantic says it; `location` is empty for the body itself. */
export class UnfitBody extends EngineRefusal {
  readonly location: readonly (string | number)[];
  readonly detail: string;

  constructor(location: readonly (string | number)[], detail: string) {
    super(400, location.length === 0 ? detail : `${location.join(".")}: ${detail}`);
    this.location = location;
    this.detail = detail;
  }
}

/** An exception that nobody handles: 500 in plain text, and an end that nobody announces. */
export class Unhandled extends Error {
  override readonly name = "Unhandled";
}
