/** What a route of the simulated engine answers, before it becomes an HTTP response. */

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

/** One SSE event; `name` for the APIs with named events. */
export function sseEvent(data: unknown, name?: string): string {
  const head = name === undefined ? "" : `event: ${name}\n`;
  return `${head}data: ${JSON.stringify(data)}\n\n`;
}

export const SSE_DONE = "data: [DONE]\n\n";

/** A refusal by the engine, drawn in the shape of its kind by `errorAnswer`. */
export class EngineRefusal extends Error {
  override readonly name = "EngineRefusal";
  readonly status: number;
  readonly type: string;

  constructor(status: number, message: string, type = "invalid_request_error") {
    super(message);
    this.status = status;
    this.type = type;
  }
}

/** FastAPI's answer to a body that does not fit its model. */
export function validationAnswer(location: readonly string[], message: string): Answer {
  return jsonAnswer({ detail: [{ type: "value_error", loc: location, msg: message }] }, 422);
}
