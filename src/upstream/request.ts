import type { RequestHead } from "../core/body/request-head.ts";
import type { ProxyError } from "../core/errors.ts";
import type { Asked } from "../core/strategies/strategy.ts";

/** A client's inference request, read and understood, not yet sent anywhere. */
export interface InferenceRequest {
  /** Kept from the client, or made; in logs, in the engine's and in the client's headers. */
  readonly id: string;
  /** Path and query, as the engine gets them. */
  readonly target: string;
  /** The headers the engine gets. */
  readonly headers: Headers;
  /** The body as it came, without control-plane fields. */
  readonly body: Uint8Array;
  /** Null when the body names none, or is no JSON. */
  readonly model: string | null;
  /** Null when the body is no JSON. */
  readonly head: RequestHead | null;
  /** What strategies are told of it. */
  readonly asked: Asked;
  /** Who asks: an API key's digest, or an address. */
  readonly client: string;
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal;
  /** To be called when the answer has ended: the connection may be closed for idleness again. */
  readonly ended: () => void;
  /** The last event of an event stream that broke, in the client's dialect. */
  readonly lastEvent: (error: ProxyError) => Uint8Array;
}
