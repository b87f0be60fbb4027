import type { Node, OpenRequest } from "./node.ts";

/**
 * A node's requests that have no byte yet would wait for a dead engine for ever: they go elsewhere.
 * @param wasDown Those that came although it was down have nowhere else to go.
 * @param mayMove Which of them.
 */
export function moveRequests(
  node: Node,
  wasDown: boolean,
  mayMove: (request: OpenRequest) => boolean = () => true,
): void {
  for (const request of node.leases) {
    if (request.firstByteAtMs !== null || (wasDown && request.lastResort)) continue;
    if (mayMove(request)) request.sender?.evict("node_ejected");
  }
}
