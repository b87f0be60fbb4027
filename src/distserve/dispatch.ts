import { ProxyError } from "../core/errors.ts";
import { dispatch } from "../upstream/dispatch.ts";
import { givenUp, type Reply } from "../upstream/reply.ts";
import type { InferenceRequest } from "../upstream/request.ts";
import { TimeLeft } from "../upstream/time-left.ts";
import { decodeBody, refuseSeveral } from "./bodies.ts";
import type { DistServeParts } from "./parts.ts";
import { Route } from "./route.ts";
import { TwoSteps } from "./two-steps.ts";

/** Newer LMDeploy engines take DistServe's fields from nobody who does not send this. */
const PROXY_HEADER = "x-lmdeploy-distserve-proxy";

/**
 * Answers a request by two nodes: one computes the prompt, the other fetches its KV blocks and
 * generates. Whatever happens, the blocks are handed over or freed.
 * @param dummyMigration The `migration_request` of all requests where there is no prefill; else null.
 * @throws ProxyError
 */
export async function dispatchDistServe(
  request: InferenceRequest,
  parts: DistServeParts,
  dummyMigration: string | null,
): Promise<Reply> {
  const { head, body } = request;
  const { signal } = request.exchange;
  if (head === null) {
    throw new ProxyError("invalid_request", 'Send a JSON object such as {"model": "…"}.');
  }
  refuseSeveral(body, head);
  request.headers.set(PROXY_HEADER, "1");
  if (dummyMigration !== null) {
    const dummy = { ...request, body: decodeBody(body, head, dummyMigration) };
    return await dispatch(dummy, parts.upstream, "Decode");
  }
  await knowEngines(request.model, parts);
  if (signal.aborted) return givenUp(signal);
  const time = new TimeLeft(signal, parts.after);
  const route = new Route(request, time.signal, parts);
  try {
    return await new TwoSteps(request, head, route, parts).answer(time);
  } catch (error) {
    if (signal.aborted) return givenUp(signal);
    throw error;
  } finally {
    route.end();
    time.stop();
  }
}

/** An adapter that engines of one role are known to serve may have moved among those of the other. */
async function knowEngines(
  model: string | null,
  { registry, upstream }: DistServeParts,
): Promise<void> {
  if (model === null || !registry.serves(model)) return;
  for (const role of ["Prefill", "Decode"] as const) {
    if (registry.serving(model, role).length === 0) await upstream.find(model, role);
  }
}
