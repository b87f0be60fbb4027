import { type Clock, within } from "../core/clock.ts";
import { ProxyError } from "../core/errors.ts";
import type { Exchange } from "../core/exchange.ts";
import { isEventStream, isPacked } from "../core/headers.ts";
import { readObject } from "../core/json-object.ts";
import { finalErrorEvent } from "../core/sse-tail.ts";
import { breakOff } from "../upstream/relay.ts";
import { Reply } from "../upstream/reply.ts";
import { dialectOf, nameForAnthropic } from "./dialect.ts";

/** A comment: it keeps a connection busy, and no client takes it for an event. */
const COMMENT = new TextEncoder().encode(": keep-alive\n\n");

/** What a client is to get, an answer or an error; its promise never rejects. */
export type Answering = Promise<Reply | ProxyError>;

/**
 * Signs of life for whoever stands between here and the client and closes what is silent. A stream
 * that has no first word in time is begun with a comment, and gets another each time. Its head is out
 * then: what goes wrong from there on can only be told by a last event. Until the first word another
 * node may still take over.
 */
export class SseKeepalive {
  readonly #everyMs: number;
  readonly #clock: Clock;

  /** @param everyMs Silence up to this is left alone, ms. */
  constructor(everyMs: number, clock: Clock) {
    this.#everyMs = everyMs;
    this.#clock = clock;
  }

  /** Resolves with true when a stream is to be begun, with false when there is an answer. */
  async isDue(answering: Answering, exchange: Exchange): Promise<boolean> {
    while (!(await this.#isThere(answering))) if (exchange.stream) return true;
    return false;
  }

  /** The stream, begun; of `target`, a path. */
  begin(answering: Answering, exchange: Exchange, target: string): Response {
    const headers = new Headers({
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
      "x-request-id": exchange.id,
    });
    nameForAnthropic(headers, dialectOf(target, exchange.request.headers), exchange.id);
    exchange.head(200);
    const pull = async (sink: ReadableStreamDirectController) => {
      do await sink.write(COMMENT);
      while (!(await this.#isThere(answering)));
      await this.#goOn(sink, await answering, exchange, target);
    };
    return new Response(new ReadableStream<Uint8Array>({ type: "direct", pull }), { headers });
  }

  /** Whether the answer comes before it is time for the next sign. */
  #isThere(answering: Answering): Promise<boolean> {
    return within(this.#clock, this.#everyMs, answering);
  }

  async #goOn(
    sink: ReadableStreamDirectController,
    answer: Reply | ProxyError,
    { id, ended }: Exchange,
    target: string,
  ): Promise<void> {
    if (answer instanceof Reply && isPlainStream(answer)) {
      const { body } = answer;
      if (body !== null && "pull" in body) return await body.pull(sink);
      if (body !== null) sink.write(body);
      sink.close();
      return;
    }
    const lastEvent =
      answer instanceof Reply
        ? refusalEvent(answer, target, id)
        : finalErrorEvent(answer, target, id, 0);
    await breakOff(sink, ended?.how === "client_gone", lastEvent, this.#clock);
  }
}

/** Whether it may follow the comments: they are not packed. */
function isPlainStream({ ok, headers }: Reply): boolean {
  return ok && isEventStream(headers.get("content-type")) && !isPacked(headers);
}

/** What an engine answered instead of a stream, as an event: its own error, where it can be one. */
function refusalEvent({ status, body }: Reply, target: string, id: string): Uint8Array {
  if (body !== null && "pull" in body) body.giveUp();
  const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : "";
  const refusal = readObject(text);
  if (refusal !== null) {
    const name = dialectOf(target, new Headers()) === "anthropic" ? "event: error\n" : "";
    return new TextEncoder().encode(`${name}data: ${JSON.stringify(refusal)}\n\n`);
  }
  const message = `The engine answered ${status} instead of a plain stream.`;
  return finalErrorEvent(new ProxyError("upstream_error", message), target, id, 0);
}
