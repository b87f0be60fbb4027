import type { Static } from "elysia";
import type { Role } from "../core/engine/roles.ts";
import type { Node } from "../core/pool/node.ts";
import type { Reply } from "../upstream/reply.ts";
import type { InferenceRequest } from "../upstream/request.ts";
import type { WarmedUp } from "./schemas.ts";

/** How requests are served, Hybrid or DistServe: the one place where the two differ for the routes. */
export interface Mode {
  /** Roles of which a healthy node has to be there before requests can be served. */
  readonly needed: readonly Role[];
  /** Null, or why a node of this role is of no use here, and what to change. */
  refusal(role: Role): string | null;
  /** Copies of a request's body that serving it takes; they count as bodies do. */
  readonly bodyCopies: number;
  /** @throws ProxyError not_implemented when requests to `path` cannot be served. */
  assureServed(path: string): void;
  /** Answers an inference request. @throws ProxyError */
  dispatch(request: InferenceRequest): Promise<Reply>;
  /** What there is to administer of pairs and sessions; null in Hybrid mode. */
  readonly disaggregated: Disaggregated | null;
}

export interface Disaggregated {
  /** Connects every pair and tells how they are. */
  connectAll(): Promise<Static<typeof WarmedUp>["pairs"]>;
  /** Pairs that are connected, by the URLs of their nodes. */
  connected(): [prefillId: string, decodeId: string][];
  /** Takes pairs for connected that the process has connected whose place this one takes. */
  adopt(pairs: readonly (readonly [prefillId: string, decodeId: string])[]): void;
  /** Resolves within a second, when it is known whether the engine of a node that registered is a new process. */
  identified(node: Node): Promise<void>;
  /** Frees every session that nobody wants any more. */
  collect(): Promise<{ readonly freed: number; readonly failed: number }>;
  /** With how many engines the node's is connected, and how many sessions it keeps blocks for. */
  figures(node: Node): { readonly pairs: number; readonly openSessions: number };
}
