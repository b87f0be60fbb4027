import { t } from "elysia";
import { ProxyError } from "../../core/errors.ts";
import { askWhetherAsleep, callNodes } from "../calls.ts";
import { failures } from "../docs/errors.ts";
import { type BodyLimits, letGo, readBody } from "../read-body.ts";
import { targetOf } from "../request-target.ts";
import { route } from "./route.ts";

const TAGS = ["Nodes"];
const SHORT_MS = 30_000;
/** Weights are read from disk, or sent over a network. */
const LONG_MS = 600_000;

const EXAMPLE = {
  total: 2,
  succeeded: 1,
  failed: ["http://10.0.0.8:8000"],
  results: {
    "http://10.0.0.7:8000": { status: 200, latency_ms: 3, body: "" },
    "http://10.0.0.8:8000": { status: null, latency_ms: 1, error: "connection refused" },
  },
};

function answered(description: string) {
  const schema = { $ref: "#/components/schemas/NodeCalls" };
  return { description, content: { "application/json": { schema, example: EXAMPLE } } };
}

const ASLEEP = {
  is_sleeping: true,
  sleeping: 1,
  total: 2,
  succeeded: 2,
  failed: [],
  results: {
    "http://10.0.0.7:8000": { status: 200, latency_ms: 3, body: { is_sleeping: true } },
    "http://10.0.0.8:8000": { status: 200, latency_ms: 1, body: { is_sleeping: false } },
  },
};

function asleep(description: string) {
  const schema = { $ref: "#/components/schemas/NodesAsleep" };
  return { description, content: { "application/json": { schema, example: ASLEEP } } };
}

const FAILURES = failures([
  "invalid_request",
  "invalid_api_key",
  "forbidden",
  "not_found",
  "model_not_found",
]);

const RESPONSES = {
  "200": answered("All nodes did well"),
  "207": answered("Some nodes did well"),
  "502": answered("No node did well"),
  ...FAILURES,
};

/** What engines have and routers lack: a call to all of them, with what each answered. */
const TO_ALL: readonly (readonly [path: string, summary: string, timeoutMs: number])[] = [
  ["/flush_cache", "Empty the prefix cache of all nodes", SHORT_MS],
  ["/reset_prefix_cache", "Empty the prefix cache of all nodes (vLLM)", SHORT_MS],
  ["/abort_request", "End requests, on whichever nodes they are", SHORT_MS],
  ["/pause", "Let all nodes begin nothing new (vLLM)", SHORT_MS],
  ["/resume", "Let all nodes go on (vLLM)", SHORT_MS],
  ["/pause_generation", "Let all nodes begin nothing new (SGLang)", SHORT_MS],
  ["/continue_generation", "Let all nodes go on (SGLang)", SHORT_MS],
  ["/sleep", "Have all nodes give their memory up; they get nothing until they wake", LONG_MS],
  ["/wake_up", "Have all nodes take their memory back (vLLM)", LONG_MS],
  ["/wakeup", "Have all nodes take their memory back (LMDeploy)", LONG_MS],
  ["/start_profile", "Begin a profile on all nodes", SHORT_MS],
  ["/stop_profile", "End the profile on all nodes", LONG_MS],
  ["/v1/load_lora_adapter", "Load an adapter on all nodes; it is served at once (vLLM)", LONG_MS],
  ["/v1/unload_lora_adapter", "Unload an adapter on all nodes (vLLM)", LONG_MS],
  ["/load_lora_adapter", "Load an adapter on all nodes; it is served at once (SGLang)", LONG_MS],
  ["/unload_lora_adapter", "Unload an adapter on all nodes (SGLang)", LONG_MS],
];

function toAll([path, summary, timeoutMs]: (typeof TO_ALL)[number]) {
  return route({
    method: "POST",
    path,
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: `callAll${path.replaceAll(/\W/g, "_")}`,
      summary,
      description:
        "Body and query go to each node as they are, but for `?url=` (that node alone) and `?model=` " +
        "(those that serve it).",
      requestBody: { required: false, content: { "application/json": { schema: {} } } },
      responses: RESPONSES,
    },
    answer: async ({ request }, services) => {
      const json = await textOf(request, services.adminBodyLimits);
      const call = { method: "POST", ...meantBy(request, path), json, timeoutMs } as const;
      return await callNodes(
        call,
        request,
        services,
        path === "/flush_cache" ? flushed : undefined,
      );
    },
  });
}

/** Which nodes a call is for, and its query without the words that say so. */
function meantBy(request: Request, path: string) {
  const query = new URLSearchParams(targetOf(request).split("?", 2)[1] ?? "");
  const [url, model] = [query.get("url"), query.get("model")];
  query.delete("url");
  query.delete("model");
  return { target: query.size === 0 ? path : `${path}?${query}`, url, model };
}

/** The body as it came. @throws ProxyError as `readBody` */
async function textOf(request: Request, limits: BodyLimits): Promise<string> {
  const body = await readBody(request, limits);
  const text = new TextDecoder().decode(body);
  letGo(body, limits.memory);
  return text;
}

/** What sglang-router and smg answer, beside ours. */
function flushed(total: number, succeeded: number) {
  return {
    status: succeeded === total ? "success" : succeeded === 0 ? "error" : "partial_success",
    message: `Flushed the cache of ${succeeded} of ${total} workers`,
    workers_flushed: succeeded,
    total_http_workers: total,
    total_workers: total,
  };
}

export const callRoutes = [
  route({
    method: "POST",
    path: "/nodes/call",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "callNodes",
      summary: "Call something at all nodes, one, or those of a model",
      description:
        "For what engines have and no path of the proxy stands for, such as new weights " +
        "(`/update_weights_from_disk`) or `/collective_rpc`. One answer tells what each node answered.",
      responses: RESPONSES,
    },
    body: t.Object({
      path: t.String({
        pattern: "^/[\\x21-\\x7e]*$",
        maxLength: 8192,
        description: "At each engine, with its query",
        examples: ["/update_weights_from_disk"],
      }),
      method: t.Optional(t.Union([t.Literal("GET"), t.Literal("POST")])),
      body: t.Optional(t.Any({ description: "Sent as JSON" })),
      url: t.Optional(t.String({ description: "That node alone" })),
      model: t.Optional(t.String({ description: "Nodes that serve it" })),
      timeout_s: t.Optional(t.Number({ minimum: 0.1, maximum: 3600, description: "Default: 600" })),
    }),
    answer: ({ request, body }, services) => {
      if (body.method === "GET" && body.body !== undefined) {
        throw new ProxyError("invalid_request", "A GET takes no body; leave it out, or POST it.", {
          param: "body",
        });
      }
      return callNodes(
        {
          method: body.method ?? "POST",
          target: body.path,
          json: body.body === undefined ? "" : written(body.body),
          url: body.url ?? null,
          model: body.model ?? null,
          timeoutMs: (body.timeout_s ?? LONG_MS / 1_000) * 1_000,
        },
        request,
        services,
      );
    },
  }),
  ...TO_ALL.map(toAll),
  route({
    method: "GET",
    path: "/is_sleeping",
    who: "administrator",
    detail: {
      tags: TAGS,
      operationId: "askAllWhetherAsleep",
      summary: "Whether a node sleeps: true until all are awake",
      description:
        "Asked of all nodes, of one (`?url=`) or those that serve `?model=`. Engines that do not know the " +
        "question cannot sleep; where none does, the answer is 404.",
      parameters: [
        { name: "url", in: "query", schema: { type: "string" } },
        { name: "model", in: "query", schema: { type: "string" } },
      ],
      responses: {
        "200": asleep("All nodes said whether they sleep"),
        "207": asleep("Some nodes did not say"),
        "502": asleep("No node said"),
        ...FAILURES,
      },
    },
    answer: ({ request }, services) =>
      askWhetherAsleep(
        { method: "GET", ...meantBy(request, "/is_sleeping"), json: "", timeoutMs: SHORT_MS },
        request,
        services,
      ),
  }),
];

/** @throws ProxyError for what can be read, and is nested too deeply to be written again */
function written(json: unknown): string {
  try {
    return JSON.stringify(json);
  } catch {
    const message = "`body` nests arrays and objects too deeply. Send a flatter one.";
    throw new ProxyError("invalid_request", message, { param: "body" });
  }
}
