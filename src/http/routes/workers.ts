import { t } from "elysia";
import { ProxyError } from "../../core/errors.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import { removeNode } from "../nodes.ts";
import type { Services } from "../services.ts";
import { addWorker, workerId, workerList, workerNamed, workerOf } from "../workers.ts";
import { type AnsweringRoute, route } from "./route.ts";

const TAGS = ["Nodes"];
const REFUSALS = ["invalid_api_key", "forbidden"] as const;

const WORKER = {
  id: "2f3a0c3e-3a7b-4c3f-8c70-1b7d4c3a6e1f",
  url: "http://10.0.0.7:8000",
  model_id: "internlm2-chat-7b",
  models: ["internlm2-chat-7b"],
  worker_type: "regular",
  is_healthy: true,
  status: "healthy",
  load: 3,
  connection_mode: "Http",
  runtime_type: "vllm",
  priority: 50,
  cost: 1,
  metadata: {},
  labels: {},
  disable_health_check: false,
};

const ADDED = {
  success: true,
  status: "accepted",
  worker_id: WORKER.id,
  url: WORKER.url,
  location: `/workers/${WORKER.id}`,
  message: "Added http://10.0.0.7:8000; it gets requests.",
};

const NO_KEY = " Its api_key is not kept; engines' key is --upstream-api-key's.";

const Url = t.Object({ url: t.String({ description: "The node" }) });

/** Administration of nodes, as scripts for vllm-router, sglang-router and smg call it. */
export const workerRoutes: readonly AnsweringRoute[] = [
  route({
    method: "GET",
    path: "/workers",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "listWorkers",
      summary: "Show all nodes, as vllm-router, sglang-router and smg show theirs",
      responses: {
        ...ok(
          "Workers",
          {
            workers: [WORKER],
            total: 1,
            stats: { prefill_count: 0, decode_count: 0, regular_count: 1 },
          },
          "The nodes",
        ),
        ...failures(REFUSALS),
      },
    },
    answer: (_, { registry }) => workerList(registry.nodes()),
  }),
  route({
    method: "POST",
    path: "/workers",
    who: "engine",
    detail: {
      tags: TAGS,
      operationId: "addWorker",
      summary: "Add a node: 200 when it can be routed to, 202 when that takes more than 2 s",
      responses: {
        ...ok("WorkerAdded", ADDED, "It gets requests"),
        "202": {
          description:
            "It gets requests once its health probe passes; with `--as sglang-router` or `smg` also when it gets them already",
        },
        ...failures(["invalid_request", ...REFUSALS]),
      },
    },
    body: t.Object(
      {
        url: t.String(),
        worker_type: t.Optional(t.Union([t.String(), t.Null()])),
        model_id: t.Optional(t.Union([t.String({ maxLength: 512 }), t.Null()])),
        api_key: t.Optional(t.Union([t.String(), t.Null()])),
      },
      { additionalProperties: true, examples: [{ url: "http://10.0.0.7:8000" }] },
    ),
    answer: async ({ body, peerAddress }, services) => {
      const { node, routable } = await addWorker(body, peerAddress, services);
      const id = workerId(node.url);
      const answer = {
        success: true,
        status: "accepted",
        worker_id: id,
        url: node.url,
        location: `/workers/${id}`,
        message: added(node.url, routable) + (body.api_key ? NO_KEY : ""),
      };
      return Response.json(answer, { status: routable && !accepts(services) ? 200 : 202 });
    },
  }),
  route({
    method: "GET",
    path: "/workers/:id",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "getWorker",
      summary: "Show one node, by its id or its encoded URL",
      responses: { ...ok("Worker", WORKER, "The node"), ...failures(["not_found", ...REFUSALS]) },
    },
    answer: ({ params, peerAddress }, services) =>
      workerOf(workerNamed(nameOf(params), peerAddress, services)),
  }),
  route({
    method: "DELETE",
    path: "/workers/:id",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "removeWorker",
      summary: "Take a node out, by its id or its encoded URL; what runs on it may finish",
      responses: {
        ...ok("WorkerAdded", { ...ADDED, message: "Removed http://10.0.0.7:8000." }, "It is out"),
        "202": { description: "The same with `--as sglang-router` or `smg`" },
        ...failures(["not_found", ...REFUSALS]),
      },
    },
    answer: ({ params, peerAddress }, services) => {
      const { url } = workerNamed(nameOf(params), peerAddress, services);
      const id = workerId(url);
      const { message } = removeNode(url, peerAddress, services);
      const answer = { success: true, status: "accepted", worker_id: id, url, message };
      return Response.json(answer, { status: accepts(services) ? 202 : 200 });
    },
  }),
  route({
    method: "POST",
    path: "/add_worker",
    who: "engine",
    detail: {
      tags: TAGS,
      operationId: "addWorkerByQuery",
      summary: "Add the node of ?url=, as vllm-router and older sglang-routers do",
      responses: {
        "200": { description: "It gets requests" },
        "202": { description: "It gets requests once its health probe passes" },
        ...failures(["invalid_request", ...REFUSALS]),
      },
    },
    query: Url,
    answer: async ({ query, peerAddress }, services) => {
      const { node, routable } = await addWorker(query, peerAddress, services);
      const text = routable ? `Successfully added worker: ${node.url}` : added(node.url, routable);
      return inWords(text, routable ? 200 : 202);
    },
  }),
  route({
    method: "POST",
    path: "/remove_worker",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "removeWorkerByQuery",
      summary: "Take the node of ?url= out, known or not, as vllm-router does",
      responses: {
        "200": { description: "It is out" },
        ...failures(["invalid_request", ...REFUSALS]),
      },
    },
    query: Url,
    answer: ({ query, peerAddress }, services) => {
      removeNode(query.url, peerAddress, services);
      return inWords(`Successfully removed worker: ${query.url}`, 200);
    },
  }),
  route({
    method: "GET",
    path: "/list_workers",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "listWorkerUrls",
      summary: "Show the URLs of all nodes, as vllm-router does",
      responses: {
        ...ok("WorkerUrls", { urls: [WORKER.url] }, "The URLs"),
        ...failures(REFUSALS),
      },
    },
    answer: (_, { registry }) => ({ urls: registry.nodes().map(({ url }) => url) }),
  }),
  route({
    method: "GET",
    path: "/get_loads",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "getLoads",
      summary: "Show the requests in flight at each node, as vllm-router does",
      responses: {
        ...ok("WorkerLoads", { workers: [{ worker: WORKER.url, load: 3 }] }, "The loads"),
        ...failures(REFUSALS),
      },
    },
    answer: (_, { registry }) => ({
      workers: registry.nodes().map((node) => ({ worker: node.url, load: node.inFlight })),
    }),
  }),
  route({
    method: "POST",
    path: "/finish_session",
    who: "client",
    detail: {
      tags: TAGS,
      operationId: "finishSession",
      summary: "Say that a session has ended: what it sends from now on may go to another node",
      responses: {
        ...ok("SessionFinished", { status: "ok", session_id: "s-1" }, "It has no node any more"),
        ...failures(["invalid_request", "invalid_api_key"]),
      },
    },
    query: t.Object({ session_id: t.String({ minLength: 1, maxLength: 512 }) }),
    answer: ({ query }, { finishSession }) => {
      finishSession(query.session_id);
      return { status: "ok", session_id: query.session_id };
    },
  }),
];

/** sglang-router and smg say so whatever comes of it. */
function accepts({ as }: Services): boolean {
  return as === "sglang-router" || as === "smg";
}

/** Left to itself, a text goes out as bytes of no kind. */
function inWords(text: string, status: number): Response {
  return new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

function added(url: string, routable: boolean): string {
  return routable
    ? `Added ${url}; it gets requests.`
    : `Added ${url}; it gets requests as soon as its health probe passes.`;
}

function nameOf({ id }: Readonly<Record<string, string>>): string {
  if (id !== undefined) return id;
  throw new ProxyError("invalid_request", "Name the worker: /workers/ID.", { param: "id" });
}
