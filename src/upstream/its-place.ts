import type { Admitted } from "../core/admission/admitted.ts";
import type { Lease } from "../core/pool/lease.ts";
import type { InferenceRequest } from "./request.ts";

/**
 * The place of an admitted request, when its turn has come.
 * @throws what refuses it, and the reason of its signal for a client that has left meanwhile, seen or not: of those that
 * leave within some milliseconds nothing has told yet (`http/departures.ts`), and no engine need begin.
 */
export async function itsPlace<L extends Lease | null>(
  admitted: Promise<Admitted<L>>,
  { exchange: { request, signal } }: InferenceRequest,
): Promise<Admitted<L>> {
  const place = await admitted;
  const { signal: left } = request;
  if (left.aborted) signal.abort(left.reason);
  if (!signal.aborted) return place;
  place.lease?.end({ kind: "cancelled" });
  place.drop();
  throw signal.reason;
}
