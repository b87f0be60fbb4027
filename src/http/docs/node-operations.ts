import { failures } from "./errors.ts";
import { type Operations, ok } from "./operation.ts";

const NODES = {
  "http://10.0.0.7:23333": {
    role: 1,
    models: ["internlm2-chat-7b"],
    unfinished: 3,
    latency: [2.31, 1.87, 2.05],
    speed: null,
    state: "healthy",
    warm: 1,
    cache_usage: 0.42,
    running: 3,
    waiting: 0,
    last_metrics_age_s: 1.7,
    engine: "lmdeploy",
    last_error: null,
    pairs: 0,
    open_sessions: 0,
  },
};

const BASE = { tags: ["Nodes"], security: [{ adminKey: [] }] };
const REFUSALS = ["invalid_api_key", "forbidden", "internal_error"] as const;

export const NODE_OPERATIONS: Operations = {
  "POST /nodes/add": {
    ...BASE,
    operationId: "addNode",
    summary: "Add a node, or replace what is known of it",
    description:
      "What LMDeploy's engines send when they start with `--proxy-url`. Answered at once; the node " +
      "gets requests as soon as its health probe passes. Peers inside `--trust-nodes` need no key. " +
      "The fields of `status` may stand at the top level, too. A proxy takes nodes of its serving " +
      "strategy only: Hybrid ones, or Prefill and Decode ones.",
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
  "GET /nodes/status": {
    ...BASE,
    operationId: "listNodes",
    summary: "Show all nodes",
    description: "Each node by its URL. The first five fields are LMDeploy's.",
    responses: { ...ok("NodeStatuses", NODES, "The nodes"), ...failures(REFUSALS) },
  },
  "POST /nodes/remove": {
    ...BASE,
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
  "POST /nodes/drain": {
    ...BASE,
    operationId: "drainNode",
    summary: "Let a node run dry",
    description:
      "It gets no new requests, and those it has go on. Answered at once; ask again to see how " +
      "many are left. Registering the node again ends it.",
    responses: {
      ...ok("Draining", { state: "draining", unfinished: 3 }, "It drains"),
      ...failures(["invalid_request", "not_found", ...REFUSALS]),
    },
  },
  "POST /nodes/terminate": {
    ...BASE,
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
  "GET /nodes/terminate_all": {
    ...BASE,
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
};
