import { AddressRefused } from "../core/address/address-policy.ts";
import { certificateAdvice } from "../core/certificate-advice.ts";
import type { Failure } from "../core/failure.ts";
import type { Lease } from "../core/pool/lease.ts";
import type { EvictionReason, Sender } from "../core/pool/node.ts";
import type { Signal } from "../core/signal.ts";
import { isCancelled } from "./request.ts";

/** Why the proxy itself ended an attempt. */
export type Stop =
  | "client_gone"
  | "cancelled"
  | EvictionReason
  | "connect_timeout"
  | "first_byte_timeout"
  | "idle_timeout"
  | "node_gone"
  | "total_timeout";

const TIMEOUTS: Readonly<Record<string, string>> = {
  connect_timeout: "no connection within the connect time limit",
  first_byte_timeout: "no answer within the first-byte time limit",
  idle_timeout: "the answer stood still for longer than the idle time limit",
  node_gone: "the answer stood still, and its engine takes no connection any more",
  total_timeout: "no complete answer within the total time limit",
};

/** How an attempt ended without a whole answer. */
export type Unanswered = Failure | { readonly kind: "stopped"; readonly why: Stop };

/** One request on its way to one node: what can stop it, and how its lease ends. */
export class Attempt implements Sender {
  readonly lease: Lease;
  /** When the first attempt at the client's request began, ms. */
  readonly requestStartedAtMs: number;
  readonly #controller = new AbortController();
  #stopped: Stop | null = null;
  /** The head of an answer is there: its connection stands. */
  connected = false;
  /** Its answer has begun: a piece of it is there, or the head of one whose length is known. */
  begun = false;
  /** Whether it has been looked at whether its connection can stand. */
  connectChecked = false;
  /** The client reads too slowly for the answer: what stands still is not the engine's fault. */
  clientHoldsUp = false;
  /** Whether it could go on elsewhere: if not, waiting for a node that is out beats giving up. */
  mayMove: (() => boolean) | null = null;
  /** Ends it as answered, if its client has had the last word already, and says whether; null while nothing is handed on. */
  finishIfOver: (() => boolean) | null = null;
  #piecesSeen = -1;
  #progressAtMs = 0;

  constructor(lease: Lease, requestStartedAtMs = lease.startedAtMs) {
    this.lease = lease;
    this.requestStartedAtMs = requestStartedAtMs;
    lease.sender = this;
  }

  evict(reason: EvictionReason): void {
    if (reason === "shutdown" || this.mayMove?.() !== false) this.stop(reason);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the proxy ended it, or null. */
  get stopped(): Stop | null {
    return this.#stopped;
  }

  /** Ends it: the engine's connection closes and the node is free at once. Later calls change nothing. */
  stop(why: Stop): void {
    if (this.#stopped !== null || this.lease.outcome !== null) return;
    if (why === "client_gone" && this.finishIfOver?.() === true) {
      this.#controller.abort();
      return;
    }
    this.#stopped = why;
    const failure = failureOf(why);
    const blameless = failure === null || this.clientHoldsUp;
    if (!blameless) this.lease.end(failure);
    else if (why !== "node_ejected") this.lease.end({ kind: "cancelled" });
    else this.lease.end({ kind: "cancelled", detail: whyTakenOff(this.lease.node) });
    this.#controller.abort();
  }

  /** Ends it with the request, whose signal has aborted. */
  stopWith(signal: Signal): void {
    this.stop(isCancelled(signal) ? "cancelled" : "client_gone");
  }

  /** A piece of the answer arrived at `nowMs`. */
  received(nowMs: number): void {
    this.begun = true;
    this.lease.piece(nowMs);
  }

  /** For how long the engine has sent no piece, ms, to the precision with which this is asked. */
  silentMs(nowMs: number): number {
    if (this.#piecesSeen !== this.lease.pieces || this.clientHoldsUp) {
      this.#piecesSeen = this.lease.pieces;
      this.#progressAtMs = nowMs;
    }
    return nowMs - this.#progressAtMs;
  }

  /** It failed with `error`: ends the lease and says how. */
  failed(error: unknown): Unanswered {
    if (this.#stopped !== null) {
      return failureOf(this.#stopped) ?? { kind: "stopped", why: this.#stopped };
    }
    const failure = classify(error);
    const inTheMiddle = this.lease.pieces > 0 ? { ...failure, kind: "broken" as const } : failure;
    this.lease.end(inTheMiddle);
    return inTheMiddle;
  }
}

/** What the node is out for, as a rule; one that is not keeps a request alone waiting. */
function whyTakenOff({ health, lastError }: Lease["node"]): string {
  return health.state === "unhealthy" && lastError !== null ? lastError : "it sent nothing";
}

/** What a time limit that ran out says of the engine; null for a stop that is not its fault. */
function failureOf(why: Stop): Failure | null {
  const detail = TIMEOUTS[why];
  if (detail === undefined) return null;
  // Not `refused`: it may have gone out over a connection that was kept alive, and nothing tells.
  return { kind: why === "connect_timeout" ? "lost" : "timeout", detail };
}

/** Codes with which fetch says that a connection was refused: nobody listens there. */
const REFUSED = new Set(["ConnectionRefused", "ECONNREFUSED"]);

/** Codes with which it says that no connection was made: the engine cannot have seen the request. */
const NEVER_SENT = new Set([
  "FailedToOpenSocket",
  "ENOTFOUND",
  "EAI_AGAIN",
  "DNSException",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT_CONNECT",
]);

/** Codes that speak of the proxy's own machine, and what is to be done. */
const OURS: ReadonlyMap<string, string> = new Map([
  ["EMFILE", "the proxy has no open file left; raise its limit (`ulimit -n`, LimitNOFILE)"],
  ["ENFILE", "the proxy's machine has no open file left"],
  ["EADDRNOTAVAIL", "the proxy's machine has no port left for another connection"],
  ["ENOBUFS", "the proxy's machine has no network buffer left"],
  ["ENOMEM", "the proxy's machine has no memory left"],
]);

/** What an error of fetch, or of reading an answer, says of the engine. */
export function classify(error: unknown): Failure {
  if (error instanceof AddressRefused) {
    return { kind: "forbidden", detail: error.message };
  }
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const message = error instanceof Error ? error.message : String(error);
  const ours = OURS.get(code);
  if (ours !== undefined) return { kind: "ours", detail: `${ours} (${code})` };
  if (REFUSED.has(code)) return { kind: "refused", detail: `no connection: ${code}` };
  if (NEVER_SENT.has(code)) {
    return { kind: "unreachable", detail: `no connection: ${code}` };
  }
  const advice = certificateAdvice(code, "it names another host than the node's URL");
  if (advice !== null) {
    const detail = `its certificate is not trusted (${code}); ${advice}`;
    return { kind: "untrusted", detail };
  }
  return { kind: "lost", detail: `connection lost: ${code === "" ? message : code}` };
}
