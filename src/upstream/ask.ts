import { boundedText } from "../core/bounded-text.ts";
import type { Answer } from "../core/engine/answer.ts";
import type { Failure } from "../core/failure.ts";
import { classify } from "./attempt.ts";
import type { Fetch } from "./forward.ts";

export interface AskOptions {
  readonly method?: "GET" | "POST";
  /** Sent as JSON. */
  readonly json?: string;
  readonly timeoutMs: number;
  /** More of a body than this is not read: the answer fails. */
  readonly maxBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: Fetch;
}

/**
 * Asks an engine something on the proxy's own account: a limit of time and size on everything, no
 * redirect followed, the body read whole. Never rejects.
 */
export async function ask(url: string, options: AskOptions): Promise<Answer | Failure> {
  const signal = AbortSignal.timeout(options.timeoutMs);
  try {
    const response = await options.fetch(url, {
      method: options.method ?? "GET",
      headers: {
        ...options.headers,
        "accept-encoding": "identity",
        ...(options.json === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(options.json === undefined ? {} : { body: options.json }),
      signal,
      // Bun keeps 64 idle connections in all: those of many nodes' polls would drive out the ones
      // that requests use. Before the next poll they would be too old to be used, anyway.
      keepalive: false,
      redirect: "manual",
      // What is small packed may be without end unpacked.
      decompress: false,
      timeout: false,
    });
    const body = await boundedText(response.body, options.maxBytes);
    return { status: response.status, body };
  } catch (error) {
    return noAnswer(error, options.timeoutMs);
  }
}

function noAnswer(error: unknown, timeoutMs: number): Failure {
  if (error instanceof Error && error.name === "TimeoutError") {
    return { kind: "timeout", detail: `no answer within ${timeoutMs / 1_000} s` };
  }
  return classify(error);
}
