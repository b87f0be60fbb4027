import type { Static } from "@sinclair/typebox";
import { t } from "elysia";
import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import { nodeStatus } from "../node-status.ts";
import {
  addNode,
  byRegisteredName,
  drainNode,
  removeNode,
  showNode,
  terminateAll,
  terminateNode,
  undrainNode,
} from "../nodes.ts";
import { AddNode, Draining, type Message, NodeStatus, NodeUrlBody, ShownNode } from "../schemas.ts";
import type { Services } from "../services.ts";
import { route } from "./route.ts";

const TAGS = ["Nodes"];
const REFUSALS = ["invalid_api_key", "forbidden", "internal_error"] as const;

const NODE = {
  role: 1,
  models: ["internlm2-chat-7b"],
  unfinished: 3,
  latency: [2.31, 1.87, 2.05],
  speed: null,
  name: "h100-07",
  state: "healthy",
  warm: 1,
  cache_usage: 0.42,
  running: 3,
  waiting: 0,
  last_metrics_age_s: 1.7,
  engine: "lmdeploy",
  last_error: null,
  no_models: null,
  no_usage: null,
  pairs: 0,
  open_sessions: 0,
  state_for_s: 3600.5,
  first_byte_p50_s: 0.41,
  first_byte_ratio: 1.02,
  piece_p50_s: 0.03,
  piece_ratio: 0.98,
  errors_5m: 0,
  oldest_request_s: 12.4,
};

const NODES = { "http://10.0.0.7:23333": NODE };

const SHOWN = {
  url: "http://10.0.0.7:23333",
  ...NODE,
  failures: [
    {
      at: "2026-11-28T03:04:05.678Z",
      id: "req-7f1ca9d3e6fbed3146fba933",
      outcome: "timeout",
      status: null,
      detail: "no first byte within 30 s",
    },
  ],
};

/** Administration of nodes, under LMDeploy's paths. */
export const nodeRoutes = [
  route({
    method: "POST",
    path: "/nodes/add",
    who: "engine",
    detail: {
      tags: TAGS,
      operationId: "addNode",
      summary: "Add a node, or replace what is known of it",
      description:
        "What LMDeploy's engines send when they start with `--proxy-url`. Answered at once; the node " +
        "gets requests as soon as its health probe passes. Peers inside `--trust-nodes` need no key. " +
        "The fields of `status` may stand at the top level, too. A proxy takes nodes of its serving " +
        "strategy only: Hybrid ones, or Prefill and Decode ones. With `--as lmdeploy` this and the other " +
        'changes are answered by JSON strings, as there: `"Added successfully"`.',
      responses: {
        ...ok(
          "Message",
          {
            message: "Added http://10.0.0.7:23333; it gets requests as soon as its probe passes.",
          },
          "Added",
        ),
        ...failures(["invalid_request", ...REFUSALS]),
      },
    },
    body: AddNode,
    answer: async ({ body, peerAddress }, services) =>
      said(services, await addNode(body, peerAddress, services), "Added successfully"),
  }),
  route({
    method: "GET",
    path: "/nodes/status",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "listNodes",
      summary: "Show all nodes",
      description: "Each node by its URL. The first five fields are LMDeploy's.",
      responses: { ...ok("NodeStatuses", NODES, "The nodes"), ...failures(REFUSALS) },
    },
    response: t.Record(t.String(), NodeStatus),
    answer: async (_, { registry, mode, now, nodeFigures, as }) => {
      const figures = await nodeFigures();
      const nodes = registry.nodes();
      const named =
        as === "lmdeploy"
          ? byRegisteredName(nodes)
          : nodes.map((node) => [node.url, node] as const);
      return Object.fromEntries(
        named.map(([name, node]) => [
          name,
          nodeStatus(node, mode.disaggregated, now(), figures.get(node)),
        ]),
      );
    },
  }),
  route({
    method: "POST",
    path: "/nodes/remove",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "removeNode",
      summary: "Take a node out",
      description:
        "Its running requests finish. A node that is not registered is no error. The URL may stand " +
        "in the body or in the query.",
      requestBody: {
        required: false,
        content: {
          "application/json": {
            schema: { $ref: "#/components/schemas/NodeUrl" },
            example: { url: "http://10.0.0.7:23333" },
          },
        },
      },
      responses: {
        ...ok("Message", { message: "Removed http://10.0.0.7:23333." }, "It is out"),
        ...failures(["invalid_request", ...REFUSALS]),
      },
    },
    body: t.Optional(NodeUrlBody),
    query: t.Object({ node_url: t.Optional(t.String()) }),
    answer: ({ body, query, peerAddress }, services) =>
      said(services, removeNode(urlOf(body, query), peerAddress, services), "Deleted successfully"),
  }),
  route({
    method: "POST",
    path: "/nodes/drain",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "drainNode",
      summary: "Let a node run dry",
      description:
        "It gets no new requests, and those it has go on. Answered at once; ask again to see how " +
        "many are left. `/nodes/undrain` ends it, and so does registering the node again.",
      responses: {
        ...ok("Draining", { state: "draining", unfinished: 3 }, "It drains"),
        ...failures(["invalid_request", "not_found", ...REFUSALS]),
      },
    },
    body: NodeUrlBody,
    response: Draining,
    answer: ({ body, peerAddress }, services) => drainNode(body.url, peerAddress, services),
  }),
  route({
    method: "POST",
    path: "/nodes/undrain",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "undrainNode",
      summary: "Give a drained node requests again",
      description:
        "It gets them once its health probe passes. A node that is not drained stays as it is.",
      responses: {
        ...ok("Draining", { state: "starting", unfinished: 0 }, "It drains no more"),
        ...failures(["invalid_request", "not_found", ...REFUSALS]),
      },
    },
    body: NodeUrlBody,
    response: Draining,
    answer: ({ body, peerAddress }, services) => undrainNode(body.url, peerAddress, services),
  }),
  route({
    method: "GET",
    path: "/nodes/show",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "showNode",
      summary: "Show one node, with its last failures",
      description: "What /nodes/status says of it, and the last ten attempts that failed there.",
      responses: {
        ...ok("ShownNode", SHOWN, "The node"),
        ...failures(["invalid_request", "not_found", ...REFUSALS]),
      },
    },
    query: t.Object({ node: t.String({ description: "Its URL, or its name" }) }),
    response: ShownNode,
    answer: ({ query, peerAddress }, services) => showNode(query.node, peerAddress, services),
  }),
  route({
    method: "POST",
    path: "/nodes/terminate",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "terminateNode",
      summary: "Take a node out and end its engine",
      description: "The node is out even when its engine refuses, which is a 502.",
      responses: {
        ...ok(
          "Message",
          { message: "Removed http://10.0.0.7:23333 and ended its engine." },
          "It is out and its engine ends",
        ),
        ...failures(["invalid_request", "not_found", "upstream_error", ...REFUSALS]),
      },
    },
    body: NodeUrlBody,
    answer: async ({ body, peerAddress }, services) => {
      const ended = await terminateNode(body.url, peerAddress, services);
      return said(services, ended, "Terminated successfully");
    },
  }),
  route({
    method: "GET",
    path: "/nodes/terminate_all",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "terminateAllNodes",
      summary: "Take all nodes out and end their engines",
      description: "All nodes are out even when an engine refuses, which is a 502.",
      responses: {
        ...ok(
          "Message",
          { message: "Removed 3 nodes and ended their engines." },
          "All are out and their engines end",
        ),
        ...failures(["upstream_error", ...REFUSALS]),
      },
    },
    // This GET is LMDeploy's, and ends every engine.
    refusesHead: true,
    answer: async (_, services) =>
      said(services, await terminateAll(services), "Terminated successfully"),
  }),
];

/** A message of ours; with `--as lmdeploy` the JSON string that LMDeploy's proxy answers. */
function said({ as }: Services, ours: Static<typeof Message>, theirs: string) {
  return Response.json(as === "lmdeploy" ? theirs : ours);
}

/** LMDeploy's documentation shows the URL in the query, its code reads it from the body. */
function urlOf(body: { url?: string } | null | undefined, query: { node_url?: string }): string {
  const url = body?.url ?? query.node_url;
  if (url !== undefined) return url;
  throw new ProxyError("invalid_request", 'Name the node: {"url": "http://…"}.', { param: "url" });
}
