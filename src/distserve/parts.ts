import type { Node } from "../core/pool/node.ts";
import type { Upstream } from "../upstream/send.ts";
import type { Transport } from "./protocol.ts";
import type { RouteOptions } from "./route-options.ts";
import type { SessionLedger } from "./sessions.ts";

/** What DistServe requests share. */
export interface DistServeParts extends RouteOptions {
  readonly upstream: Upstream;
  readonly sessions: SessionLedger;
  /** Asks a prefill engine for a sign of life; when nobody listens there its sessions are lost. */
  readonly stillThere: (prefill: Node) => Promise<void>;
  readonly transport: Transport;
}
