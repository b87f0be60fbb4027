import type { Answer } from "../core/engine/answer.ts";
import type { Failure } from "../core/failure.ts";
import { type AskOptions, ask } from "../upstream/ask.ts";
import { dropBody, freeBody } from "./protocol.ts";

export interface EngineCallsOptions {
  /** Sent with every call, such as the engines' key. */
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: AskOptions["fetch"];
}

/** Each call of a handshake, and each free or drop, has this long, ms. */
const TIMEOUT_MS = 5_000;
/** Endpoint infos name every registered piece of GPU memory; whoever sends more is no engine. */
const MAX_BYTES = 4 * 1024 * 1024;

export type Reply = Answer | Failure;

/** DistServe's control calls to engines. Never rejects. */
export class EngineCalls {
  readonly #options: EngineCallsOptions;

  constructor(options: EngineCallsOptions) {
    this.#options = options;
  }

  engineInfo(url: string): Promise<Reply> {
    return this.#ask(`${url}/distserve/engine_info`, {});
  }

  /** @param body See `protocol.ts`. */
  handshake(url: string, step: "p2p_initialize" | "p2p_connect", body: string): Promise<Reply> {
    return this.#post(`${url}/distserve/${step}`, body);
  }

  /** Tells the engine `ownId` to forget its connection with `remoteId`. */
  drop(ownId: string, remoteId: string): Promise<Reply> {
    return this.#post(`${ownId}/distserve/p2p_drop_connect`, dropBody(ownId, remoteId));
  }

  /** @param session Decimal digits. */
  free(prefillId: string, session: string): Promise<Reply> {
    return this.#post(`${prefillId}/distserve/free_cache`, freeBody(prefillId, session));
  }

  #post(url: string, json: string): Promise<Reply> {
    return this.#ask(url, { method: "POST", json });
  }

  #ask(url: string, more: Partial<AskOptions>): Promise<Reply> {
    return ask(url, { ...this.#options, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES, ...more });
  }
}

/** What is wrong with a reply, for people; null when it is an answer with status 200. */
export function problemOf(reply: Reply): string | null {
  if ("kind" in reply) return reply.detail;
  return reply.status === 200 ? null : `it answered ${reply.status}`;
}
