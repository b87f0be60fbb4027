import type { Clock } from "../core/clock.ts";
import type { Role } from "../core/engine/roles.ts";
import { EMPTY } from "../core/pool/statuses.ts";
import type { Judged } from "./answer.ts";
import type { Attempt } from "./attempt.ts";
import { handOn } from "./relay.ts";
import type { Reply } from "./reply.ts";
import type { InferenceRequest } from "./request.ts";
import { isRefused, type Result } from "./send.ts";

/** What a request was refused with that a peer is asked now: its client gets that, should no peer have a word on it. */
export class Refusal {
  readonly #attempt: Attempt;
  readonly #judged: Judged;

  private constructor(attempt: Attempt, judged: Judged) {
    this.#attempt = attempt;
    this.#judged = judged;
  }

  /** Null where it is none, was not read whole, or says less than an error would: that its node is out for such, or has it no more. */
  static of(attempt: Attempt, result: Result): Refusal | null {
    const { trial, modelIsGone } = attempt.lease;
    if (!isRefused(result) || result.status === EMPTY || trial || modelIsGone) return null;
    const { judged } = result;
    return judged === null || judged.rest !== null ? null : new Refusal(attempt, judged);
  }

  /** Of the node that refused it. */
  get role(): Role {
    return this.#attempt.lease.node.role;
  }

  /** Whether that is better than what has become of the request since. */
  betters(result: Result): boolean {
    if (result.kind === "stopped") return result.why === "node_ejected";
    return result.kind !== "relayed" && !isRefused(result);
  }

  /** Its attempt has ended already. */
  handOn(request: InferenceRequest, clock: Clock): Reply {
    return handOn(this.#attempt, this.#judged, request, clock);
  }
}
