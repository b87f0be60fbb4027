import type { Answer } from "../core/engine/answer.ts";
import type { Failure } from "../core/failure.ts";
import { classify } from "./attempt.ts";

export interface AskOptions {
  readonly method?: "GET" | "POST";
  /** Sent as JSON. */
  readonly json?: string;
  readonly timeoutMs: number;
  /** More of a body than this is not read: the answer fails. */
  readonly maxBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: (url: string, init: BunFetchRequestInit) => Promise<Response>;
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
    const body = await readBounded(response, options.maxBytes);
    return { status: response.status, body };
  } catch (error) {
    return noAnswer(error, options.timeoutMs);
  }
}

async function readBounded(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > maxBytes) {
      void reader.cancel().catch(() => {});
      throw new Error(`the answer is longer than ${maxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}

function noAnswer(error: unknown, timeoutMs: number): Failure {
  if (error instanceof Error && error.name === "TimeoutError") {
    return { kind: "timeout", detail: `no answer within ${timeoutMs / 1_000} s` };
  }
  return classify(error);
}
