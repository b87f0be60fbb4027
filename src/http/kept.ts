import { referredIds } from "../core/body/referred-ids.ts";
import type { RequestHead } from "../core/body/request-head.ts";
import type { KeptKind } from "../core/kept-id.ts";
import { KeptRequest } from "../core/pool/kept-request.ts";
import { pathOf } from "./request-target.ts";
import type { InferenceRoute } from "./routes/route.ts";
import type { Services } from "./services.ts";

/** Whose answers engines keep. */
const MAKES: ReadonlyMap<string, KeptKind> = new Map([
  ["/v1/responses", "response"],
  ["/v1/conversations", "conversation"],
]);

/** What a request has to do with what engines keep; null for most. @throws ProxyError for an id that is none. */
export function keptRequest(
  target: string,
  route: InferenceRoute,
  body: Uint8Array,
  head: RequestHead | null,
  { keepers }: Services,
): KeptRequest | null {
  const path = pathOf(target);
  if (route.asksFor !== undefined) return new KeptRequest(keepers, [route.asksFor(path)], null);
  const makes = MAKES.get(path);
  if (makes === undefined) return null;
  return new KeptRequest(keepers, head === null ? [] : referredIds(body, head), makes);
}
