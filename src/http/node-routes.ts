import { Elysia, t } from "elysia";
import { ProxyError } from "../core/errors.ts";
import type { BunServer } from "./bun-server.ts";
import { methodNotAllowed, UNSAFE_GET } from "./methods.ts";
import { nodeStatus } from "./node-status.ts";
import { addNode, drainNode, removeNode, terminateAll, terminateNode } from "./nodes.ts";
import { readJson } from "./read-json.ts";
import { AddNode, Draining, Message, NodeStatus, NodeUrlBody } from "./schemas.ts";
import type { Services } from "./services.ts";

/** Administration of nodes, under LMDeploy's paths; who may is judged in `front.ts`, before a body is read. */
export function nodeRoutes(services: Services) {
  const { registry, mode } = services;
  const parse = ({ request }: { request: Request }) => readJson(request, services.adminBodyLimits);
  return new Elysia({ name: "nodes" })
    .post(
      "/nodes/add",
      ({ body, request, server }) => addNode(body, peerOf(request, server), services),
      {
        parse,
        body: AddNode,
        response: { 200: Message },
      },
    )
    .get(
      "/nodes/status",
      () =>
        Object.fromEntries(
          registry
            .nodes()
            .map((node) => [node.url, nodeStatus(node, mode.disaggregated, services.now())]),
        ),
      { response: { 200: t.Record(t.String(), NodeStatus) } },
    )
    .post(
      "/nodes/remove",
      ({ body, query, request, server }) =>
        removeNode(urlOf(body, query), peerOf(request, server), services),
      {
        parse,
        body: t.Optional(NodeUrlBody),
        query: t.Object({ node_url: t.Optional(t.String()) }),
        response: { 200: Message },
      },
    )
    .post(
      "/nodes/drain",
      ({ body, request, server }) => drainNode(body.url, peerOf(request, server), services),
      {
        parse,
        body: NodeUrlBody,
        response: { 200: Draining },
      },
    )
    .post(
      "/nodes/terminate",
      ({ body, request, server }) => terminateNode(body.url, peerOf(request, server), services),
      {
        parse,
        body: NodeUrlBody,
        response: { 200: Message },
      },
    )
    .get(
      UNSAFE_GET,
      ({ request }) => {
        if (request.method === "HEAD") {
          throw methodNotAllowed(UNSAFE_GET, "HEAD", ["GET", "OPTIONS"]);
        }
        return terminateAll(services);
      },
      {
        response: { 200: Message },
      },
    );
}

function peerOf(request: Request, server: BunServer | null): string | null {
  return server?.requestIP(request)?.address ?? null;
}

/** LMDeploy's documentation shows the URL in the query, its code reads it from the body. */
function urlOf(body: { url?: string } | null | undefined, query: { node_url?: string }): string {
  const url = body?.url ?? query.node_url;
  if (url !== undefined) return url;
  throw new ProxyError("invalid_request", 'Name the node: {"url": "http://…"}.', { param: "url" });
}
