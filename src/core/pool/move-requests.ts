import type { Node, OpenRequest } from "./node.ts";

/**
 * A node's requests that have no byte yet would wait for a dead engine for ever: they go elsewhere, also those that
 * came although it was out, once there is another.
 * @param mayMove Which of them.
 */
export function moveRequests(
  node: Node,
  mayMove: (request: OpenRequest) => boolean = () => true,
): void {
  for (const request of node.leases) {
    if (request.firstByteAtMs !== null) continue;
    if (mayMove(request)) request.sender?.evict("node_ejected");
  }
}
