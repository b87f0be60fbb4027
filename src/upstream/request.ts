import type { RequestHead } from "../core/body/request-head.ts";
import { ProxyError } from "../core/errors.ts";
import type { Exchange } from "../core/exchange.ts";
import type { KeptRequest } from "../core/pool/kept-request.ts";
import type { Signal } from "../core/signal.ts";
import type { Asked } from "../core/strategies/strategy.ts";

/** Whether what `signal` ended was cancelled by an administrator; else its client has left. */
export function isCancelled({ reason }: Signal): boolean {
  return reason instanceof ProxyError;
}

/** A client's inference request, read and understood, not yet sent anywhere. */
export interface InferenceRequest {
  /** The record of it, to be written on and ended by whoever answers. */
  readonly exchange: Exchange;
  readonly method: "GET" | "POST" | "DELETE";
  /** Path and query, as the engine gets them. */
  readonly target: string;
  /** The headers the engine gets. */
  readonly headers: Headers;
  /** The body as it came, without control-plane fields. */
  readonly body: Uint8Array;
  /** Null when the body names none, or is no JSON. */
  readonly model: string | null;
  /** What its client calls that, which errors say; left out: the same. */
  readonly called?: string | null | undefined;
  /** Null when the body is no JSON. */
  readonly head: RequestHead | null;
  /** Null when it has to do with nothing that engines keep. */
  readonly kept: KeptRequest | null;
  /** Its engine may have begun with it when its connection is lost, and must not begin twice; left out: it may. */
  readonly isForOnce?: boolean;
  /** What strategies are told of it; here it is known who asks. */
  readonly asked: Asked & { readonly client: string };
}
