import { Elysia, t } from "elysia";
import { nodeStatus } from "./node-status.ts";
import { addNode, removeNode, terminateAll, terminateNode } from "./nodes.ts";
import { AddNode, Message, NodeStatus, NodeUrlBody } from "./schemas.ts";
import type { Services } from "./services.ts";

/** Administration of nodes, under LMDeploy's paths; who may is judged in `front.ts`, before a body is read. */
export function nodeRoutes(services: Services) {
  const { registry } = services;
  return new Elysia({ name: "nodes" })
    .post(
      "/nodes/add",
      ({ body, request, server }) =>
        addNode(body, server?.requestIP(request)?.address ?? null, services),
      {
        parse: "json",
        body: AddNode,
        response: { 200: Message },
      },
    )
    .get(
      "/nodes/status",
      () =>
        Object.fromEntries(
          registry.nodes().map((node) => [node.url, nodeStatus(node, services.now())]),
        ),
      { response: { 200: t.Record(t.String(), NodeStatus) } },
    )
    .post("/nodes/remove", ({ body, query }) => removeNode(urlOf(body, query), services), {
      parse: "json",
      body: t.Optional(NodeUrlBody),
      query: t.Object({ node_url: t.Optional(t.String()) }),
      response: { 200: Message },
    })
    .post("/nodes/terminate", ({ body }) => terminateNode(body.url, services), {
      parse: "json",
      body: NodeUrlBody,
      response: { 200: Message },
    })
    .get("/nodes/terminate_all", () => terminateAll(services), {
      response: { 200: Message },
    });
}

/** LMDeploy's documentation shows the URL in the query, its code reads it from the body. */
function urlOf(body: { url?: string } | null | undefined, query: { node_url?: string }): string {
  return body?.url ?? query.node_url ?? "";
}
