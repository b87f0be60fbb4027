/** What is said about each route in the OpenAPI document, by method and path as the router knows them. */
import type { DocumentDecoration } from "elysia";
import { failures } from "./errors.ts";
import { inferenceOperations } from "./inference-operations.ts";

type Table = Readonly<Record<string, DocumentDecoration>>;

const MODEL = {
  id: "internlm2-chat-7b",
  object: "model",
  created: 1_795_000_000,
  owned_by: "lmproxy",
  root: "internlm2-chat-7b",
  parent: null,
  permission: [],
};

const ANTHROPIC_MODELS = {
  data: [
    {
      id: "internlm2-chat-7b",
      type: "model",
      display_name: "internlm2-chat-7b",
      created_at: "2026-11-18T13:20:00.000Z",
    },
  ],
  has_more: false,
  first_id: "internlm2-chat-7b",
  last_id: "internlm2-chat-7b",
};

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
  },
};

function ok(schema: string, example: object, description: string) {
  return {
    "200": {
      description,
      content: {
        "application/json": { schema: { $ref: `#/components/schemas/${schema}` }, example },
      },
    },
  };
}

const modelOperations = (): Table => {
  const base = { tags: ["Models"], security: [{ apiKey: [] }] };
  return {
    "GET /v1/models": {
      ...base,
      operationId: "listModels",
      summary: "List the models",
      description: "Every model that some node serves, each once.",
      responses: {
        ...ok("ModelList", { object: "list", data: [MODEL] }, "The models"),
        ...failures(["invalid_api_key", "internal_error"]),
      },
    },
    "GET /v1/models/*": {
      ...base,
      operationId: "getModel",
      summary: "Show one model",
      description: "Whether a model is served. Its name may hold slashes, escaped or as they are.",
      parameters: [
        {
          name: "model",
          in: "path",
          required: true,
          schema: { type: "string" },
          example: "internlm2-chat-7b",
        },
      ],
      responses: {
        ...ok("Model", MODEL, "The model"),
        ...failures(["invalid_api_key", "model_not_found", "internal_error"]),
      },
    },
    "GET /anthropic/v1/models": {
      ...base,
      security: [{ apiKey: [] }, { xApiKey: [] }],
      operationId: "listAnthropicModels",
      summary: "List the models, as Anthropic's clients expect it",
      responses: {
        ...ok("AnthropicModelList", ANTHROPIC_MODELS, "The models"),
        ...failures(["invalid_api_key", "internal_error"], "anthropic"),
      },
    },
  };
};

const nodeOperations = (): Table => {
  const base = { tags: ["Nodes"], security: [{ adminKey: [] }] };
  const refusals = ["invalid_api_key", "forbidden", "internal_error"] as const;
  return {
    "POST /nodes/add": {
      ...base,
      operationId: "addNode",
      summary: "Add a node, or replace what is known of it",
      description:
        "What LMDeploy's engines send when they start with `--proxy-url`. Answered at once; the node " +
        "gets requests as soon as its health probe passes. Peers inside `--trust-nodes` need no key. " +
        "The fields of `status` may stand at the top level, too.",
      responses: {
        ...ok(
          "Message",
          {
            message: "Added http://10.0.0.7:23333; it gets requests as soon as its probe passes.",
          },
          "Added",
        ),
        ...failures(["invalid_request", ...refusals]),
      },
    },
    "GET /nodes/status": {
      ...base,
      operationId: "listNodes",
      summary: "Show all nodes",
      description: "Each node by its URL. The first five fields are LMDeploy's.",
      responses: { ...ok("NodeStatuses", NODES, "The nodes"), ...failures(refusals) },
    },
    "POST /nodes/remove": {
      ...base,
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
        ...failures(["invalid_request", ...refusals]),
      },
    },
    "POST /nodes/drain": {
      ...base,
      operationId: "drainNode",
      summary: "Let a node run dry",
      description:
        "It gets no new requests, and those it has go on. Answered at once; ask again to see how " +
        "many are left. Registering the node again ends it.",
      responses: {
        ...ok("Draining", { state: "draining", unfinished: 3 }, "It drains"),
        ...failures(["invalid_request", "not_found", ...refusals]),
      },
    },
    "POST /nodes/terminate": {
      ...base,
      operationId: "terminateNode",
      summary: "Take a node out and end its engine",
      description: "The node is out even when its engine refuses, which is a 502.",
      responses: {
        ...ok(
          "Message",
          { message: "Removed http://10.0.0.7:23333 and ended its engine." },
          "It is out and its engine ends",
        ),
        ...failures(["invalid_request", "not_found", "upstream_error", ...refusals]),
      },
    },
    "GET /nodes/terminate_all": {
      ...base,
      operationId: "terminateAllNodes",
      summary: "Take all nodes out and end their engines",
      description: "All nodes are out even when an engine refuses, which is a 502.",
      responses: {
        ...ok(
          "Message",
          { message: "Removed 3 nodes and ended their engines." },
          "All are out and their engines end",
        ),
        ...failures(["upstream_error", ...refusals]),
      },
    },
  };
};

const healthOperations = (): Table => {
  const base = { tags: ["Health"], security: [] };
  const healthy = ok("Status", { status: "healthy" }, "The proxy is up");
  const ready = {
    ...ok("Status", { status: "ready" }, "At least one node is healthy"),
    ...failures(["service_unavailable"]),
  };
  const live = "Whether the proxy is up";
  const routable = "Whether a request has somewhere to go";
  return {
    "GET /health": { ...base, operationId: "getHealth", summary: live, responses: healthy },
    "GET /liveness": {
      ...base,
      operationId: "getLiveness",
      summary: `${live}: another name of /health`,
      responses: healthy,
    },
    "GET /ready": { ...base, operationId: "getReady", summary: routable, responses: ready },
    "GET /readiness": {
      ...base,
      operationId: "getReadiness",
      summary: `${routable}: another name of /ready`,
      responses: ready,
    },
  };
};

const docsOperations = (): Table => {
  const base = { tags: ["Documentation"], security: [] };
  return {
    "GET /": {
      ...base,
      operationId: "getRoot",
      summary: "Leads to /docs",
      responses: {
        "302": {
          description: "To /docs",
          headers: { Location: { schema: { type: "string" }, example: "/docs" } },
        },
      },
    },
    "GET /docs": {
      ...base,
      operationId: "getDocs",
      summary: "This page",
      responses: {
        "200": {
          description: "The page",
          content: { "text/html": { schema: { type: "string" } } },
        },
      },
    },
    // What the page is made of.
    "GET /docs/:file": { hide: true },
    "GET /openapi.json": {
      ...base,
      operationId: "getOpenApiDocument",
      summary: "This document",
      responses: {
        "200": {
          description: "OpenAPI 3.1",
          content: { "application/json": { schema: { type: "object" } } },
        },
      },
    },
  };
};

export function operations(): Table {
  return {
    ...inferenceOperations(),
    // OpenAPI has no way to say "any path below": the text at the top of the document does.
    "POST /v1/*": { hide: true },
    ...modelOperations(),
    ...nodeOperations(),
    ...healthOperations(),
    ...docsOperations(),
  };
}
