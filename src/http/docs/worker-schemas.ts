import { type TSchema, Type } from "@sinclair/typebox";

const Count = Type.Integer({ minimum: 0 });
const TextOrNull = Type.Union([Type.String(), Type.Null()]);

const Worker = Type.Object({
  id: Type.String({ description: "The same for the same URL, also after a restart" }),
  url: Type.String(),
  model_id: Type.String(),
  models: Type.Array(Type.String()),
  worker_type: Type.String({ description: "regular, prefill or decode" }),
  is_healthy: Type.Boolean(),
  status: Type.String({ description: "Its state, as /nodes/status has it" }),
  load: Type.Integer({ minimum: 0, description: "Requests in flight" }),
  connection_mode: Type.String(),
  runtime_type: TextOrNull,
  priority: Type.Integer(),
  cost: Type.Number(),
  metadata: Type.Object({}),
  labels: Type.Object({}),
  disable_health_check: Type.Boolean(),
});

const NODE_CALLS = {
  total: Count,
  succeeded: Count,
  failed: Type.Array(Type.String(), { description: "Nodes that answered no 2xx" }),
  results: Type.Object(
    {},
    {
      additionalProperties: Type.Object({
        status: Type.Union([Type.Integer(), Type.Null()]),
        latency_ms: Count,
        body: Type.Optional(Type.Unknown({ description: "The engine's answer, JSON or text" })),
        error: Type.Optional(Type.String({ description: "Why there is no answer" })),
      }),
      description: "By URL",
    },
  ),
};

/** What scripts for other routers ask of nodes, and what calls to several nodes answer. */
export const WORKER_SCHEMAS: Readonly<Record<string, TSchema>> = {
  Worker,
  Workers: Type.Object({
    workers: Type.Array(Type.Ref("#/components/schemas/Worker")),
    total: Count,
    stats: Type.Object({ prefill_count: Count, decode_count: Count, regular_count: Count }),
  }),
  WorkerAdded: Type.Object({
    success: Type.Boolean(),
    status: Type.String(),
    worker_id: Type.String(),
    url: Type.String(),
    location: Type.Optional(Type.String()),
    message: Type.String(),
  }),
  WorkerUrls: Type.Object({ urls: Type.Array(Type.String()) }),
  WorkerLoads: Type.Object({
    workers: Type.Array(Type.Object({ worker: Type.String(), load: Count })),
  }),
  SessionFinished: Type.Object({ status: Type.String(), session_id: Type.String() }),
  NodeCalls: Type.Object(NODE_CALLS),
  NodesAsleep: Type.Object({
    is_sleeping: Type.Optional(
      Type.Boolean({ description: "Whether one of them sleeps; left out where none said" }),
    ),
    sleeping: Type.Optional(Type.Integer({ minimum: 0, description: "How many of them do" })),
    ...NODE_CALLS,
  }),
};
