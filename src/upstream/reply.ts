import { ProxyError } from "../core/errors.ts";
import type { End } from "../core/exchange.ts";
import type { Signal } from "../core/signal.ts";

/** What the client of an inference request gets: an engine's answer, whole or as it comes. */
export class Reply {
  /** HTTP status. */
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array | PieceByPiece | null;
  /** How its exchange ends as it is handed on; null: with the last piece of its body, or it has ended. */
  readonly end: End | null;

  constructor(
    status: number,
    headers: Headers,
    body: Uint8Array | PieceByPiece | null,
    end: End | null = null,
  ) {
    this.status = status;
    this.headers = headers;
    this.body = body;
    this.end = end;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }
}

/** A body whose pieces are written as they arrive. */
export interface PieceByPiece {
  /** Writes all of them; never rejects. The sink is closed, or broken off, in the end. */
  pull(sink: ReadableStreamDirectController): Promise<void>;
  /** The client has left. */
  cancel(): void;
  /** Nobody can get it: it is no answer to what was asked. */
  giveUp(): void;
}

/**
 * What a request gets whose signal aborted: its client has left, unless the reason is an error for it.
 * @throws ProxyError that reason
 */
export function givenUp({ reason }: Signal): Reply {
  if (reason instanceof ProxyError) throw reason;
  return clientGone();
}

/** What a client that has left gets; nobody reads it. */
export function clientGone(): Reply {
  return new Reply(499, new Headers(), null);
}
