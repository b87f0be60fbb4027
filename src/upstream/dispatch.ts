import { Admitted } from "../core/admission/admitted.ts";
import type { Role } from "../core/engine/roles.ts";
import { CLIENT_GONE } from "../core/exchange.ts";
import { itsPlace } from "./its-place.ts";
import { givenUp, type Reply } from "./reply.ts";
import { type InferenceRequest, isCancelled } from "./request.ts";
import { Retrying } from "./retrying.ts";
import { send, type Upstream } from "./send.ts";

/**
 * Answers a request by one node of `role`: choose and reserve one, send, hand the answer on; when it
 * fails before its first byte, go round again with another node, as the retry rules allow.
 * @throws ProxyError when no node could answer.
 */
export async function dispatch(
  request: InferenceRequest,
  upstream: Upstream,
  role: Role = "Hybrid",
): Promise<Reply> {
  const { exchange } = request;
  const { signal } = exchange;
  const retrying = new Retrying(request, upstream, role);
  let place: Admitted;
  try {
    const admitted = upstream.admission.admit(retrying.wanted, request.asked.client, signal);
    place = admitted instanceof Admitted ? admitted : await itsPlace(admitted, request);
  } catch (error) {
    if (signal.aborted) return givenUp(signal);
    throw error;
  }
  exchange.admitted(place.lease.startedAtMs);
  upstream.budgets.request(request.model);
  let attempt = retrying.begin(place.lease);
  signal.on(() => {
    attempt.stopWith(signal);
    if (!isCancelled(signal)) exchange.end(CLIENT_GONE);
  });
  try {
    for (;;) {
      if (signal.aborted) attempt.stopWith(signal);
      const { lease: tried } = attempt;
      const isUnread = (status: number) => retrying.isUnread(status, tried);
      const result = await send(attempt, request, upstream, isUnread);
      if (result.kind === "relayed") {
        retrying.relayed();
        return result.reply;
      }
      const lease = await retrying.next(attempt, result);
      if (lease === null) return await retrying.settle(attempt, result);
      place.hold(lease);
      attempt = retrying.begin(lease, attempt.requestStartedAtMs);
    }
  } catch (error) {
    if (signal.aborted) return givenUp(signal);
    throw error;
  } finally {
    place.drop();
  }
}
