import type { Admission } from "../core/admission/admission.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { Signal } from "../core/signal.ts";
import type { DecodeRoom } from "./decode-room.ts";
import type { Pairs } from "./pairs.ts";
import type { SessionNames } from "./session-names.ts";

export interface RouteOptions {
  readonly registry: Registry;
  readonly admission: Admission;
  readonly pairs: Pairs;
  readonly room: DecodeRoom;
  readonly names: SessionNames;
  /** How long a request waits for a connection when no pair is left, ms. */
  readonly pairWaitMs: number;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Aborts, with the error to answer, when the proxy shuts down. */
  readonly closing: Signal;
}
