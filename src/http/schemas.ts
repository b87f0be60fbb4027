import { Type } from "@sinclair/typebox";
import { type Static, t } from "elysia";
import { NODE_NAME, NODE_NAME_EXPECTS } from "../core/address/node-name.ts";
import { ENGINE_KINDS } from "../core/engine/kinds.ts";

const Role = t.Union(
  [
    t.Literal(1),
    t.Literal(2),
    t.Literal(3),
    t.Literal("Hybrid"),
    t.Literal("Prefill"),
    t.Literal("Decode"),
  ],
  {
    description: "1 or Hybrid, 2 or Prefill, 3 or Decode",
  },
);
const Models = t.Array(t.String({ minLength: 1, maxLength: 512 }), {
  maxItems: 10_000,
  description: "Models the node serves; left out, its own /v1/models is asked",
});
const Speed = t.Union([t.Number(), t.Null()], {
  description: "Relative capability, any unit, the same for all nodes; 0 or less: not given",
});

const Name = t.Union([t.String({ pattern: NODE_NAME.source }), t.Null()], {
  description: `What people call it: ${NODE_NAME_EXPECTS}; no other node may have it`,
});

/** The body of a registration, as LMDeploy's engines send it; the fields of `status` may stand at the top, too. */
export const AddNode = t.Object(
  {
    url: t.String({ description: "Where the engine listens", examples: ["http://10.0.0.7:23333"] }),
    status: t.Optional(
      t.Union([
        t.Object({
          models: t.Optional(t.Union([Models, t.Null()])),
          role: t.Optional(t.Union([Role, t.Null()])),
          speed: t.Optional(Speed),
          name: t.Optional(Name),
        }),
        t.Null(),
      ]),
    ),
    models: t.Optional(t.Union([Models, t.Null()])),
    role: t.Optional(t.Union([Role, t.Null()])),
    speed: t.Optional(Speed),
    name: t.Optional(Name),
  },
  {
    examples: [
      { url: "http://10.0.0.7:23333", status: { models: ["internlm2-chat-7b"], role: 1 } },
    ],
  },
);

export type AddNodeBody = Static<typeof AddNode>;

/** Names one node. */
export const NodeUrlBody = t.Object(
  { url: t.String({ description: "The node's URL, as /nodes/status has it, or its name" }) },
  { examples: [{ url: "http://10.0.0.7:23333" }] },
);

// Integers in answers are TypeBox's own: Elysia's are also said to be text.

/** A node that is being drained. */
export const Draining = t.Object({
  state: t.String(),
  unfinished: Type.Integer({ minimum: 0, description: "Requests still in flight" }),
});

export const Message = t.Object({ message: t.String() });

/** How OpenAI's clients expect errors. */
export const ErrorEnvelope = t.Object({
  error: t.Object({
    message: t.String({ description: "What is wrong, and what would be right" }),
    type: t.String(),
    code: t.Union([t.String(), t.Null()]),
    param: t.Union([t.String(), t.Null()]),
  }),
});

export const NodeStatus = t.Object({
  role: t.Union([t.Literal(1), t.Literal(2), t.Literal(3)]),
  models: t.Array(t.String()),
  unfinished: Type.Integer({ minimum: 0, description: "Requests in flight" }),
  latency: t.Array(t.Number(), { description: "The last latencies to the last byte, s" }),
  speed: t.Union([t.Number(), t.Null()]),
  name: t.Union([t.String(), t.Null()], { description: "What people call it" }),
  state: t.Union([
    t.Literal("starting"),
    t.Literal("healthy"),
    t.Literal("sleeping"),
    t.Literal("unhealthy"),
    t.Literal("draining"),
  ]),
  warm: t.Number({ minimum: 0, maximum: 1, description: "How far it has been brought in" }),
  cache_usage: t.Union([t.Number(), t.Null()], { description: "KV-cache usage, fraction" }),
  running: t.Union([t.Number(), t.Null()]),
  waiting: t.Union([t.Number(), t.Null()]),
  last_metrics_age_s: t.Union([t.Number(), t.Null()]),
  engine: t.Union([t.String(), t.Null()], {
    description: `${ENGINE_KINDS.join(", ")}, or null while it is not known`,
  }),
  last_error: t.Union([t.String(), t.Null()]),
  no_models: t.Union([t.String(), t.Null()], {
    description: "Why its list of models cannot be read; null when it can",
  }),
  no_usage: t.Union([t.String(), t.Null()], {
    description: "Why its load is not known; null when it is",
  }),
  pairs: Type.Integer({
    minimum: 0,
    description: "DistServe: engines of the other role that it is connected with",
  }),
  open_sessions: Type.Integer({
    minimum: 0,
    description: "DistServe: prefills whose KV blocks it keeps until they are fetched or freed",
  }),
  state_for_s: Type.Optional(Type.Number({ description: "For how long it has been in its state" })),
  first_byte_p50_s: figure("Median of its last 16 times to the first byte"),
  first_byte_ratio: figure(
    "That beside the median of the nodes with a model in common; null of fewer than five answers",
  ),
  piece_p50_s: figure("Median of the time between two pieces of its last 16 answers"),
  piece_ratio: figure(
    "That beside the median of the nodes with a model in common; null of fewer than five answers",
  ),
  errors_5m: Type.Optional(
    Type.Integer({ minimum: 0, description: "Attempts that failed in five minutes, 64 at most" }),
  ),
  oldest_request_s: figure("Age of its oldest open request"),
});

/** Everything that is known of a node. */
export const ShownNode = t.Object({
  url: t.String(),
  ...NodeStatus.properties,
  failures: t.Array(
    t.Object({
      at: t.String({ description: "When its request had ended, RFC 3339" }),
      id: t.String({ description: "The request's; see /debug/requests/{id}" }),
      outcome: t.String(),
      status: t.Union([t.Number(), t.Null()]),
      detail: t.Union([t.String(), t.Null()]),
    }),
    { description: "The last attempts that failed there, the latest first, ten at most" },
  ),
});

function figure(description: string) {
  return Type.Optional(Type.Union([Type.Number(), Type.Null()], { description }));
}

/** How the pairs of a DistServe proxy are. */
export const WarmedUp = t.Object({
  SUCCESS: t.Boolean({ description: "Whether all pairs are connected" }),
  pairs: t.Array(
    t.Object({
      prefill: t.String(),
      decode: t.String(),
      state: t.Union([
        t.Literal("unconnected"),
        t.Literal("connecting"),
        t.Literal("connected"),
        t.Literal("failed"),
        t.Literal("impossible"),
      ]),
      error: t.Union([t.String(), t.Null()], { description: "Why the last try failed" }),
    }),
  ),
});

/** What became of the prefills that no request wants any more. */
export const Collected = t.Object({
  freed: Type.Integer({ minimum: 0 }),
  failed: Type.Integer({ minimum: 0, description: "Still kept by their engines" }),
});

const NumberOrNull = t.Union([t.Number(), t.Null()]);
const TextOrNull = t.Union([t.String(), t.Null()]);

/** How requests went, and why their nodes were chosen. */
export const Explanations = t.Array(
  t.Object({
    id: t.String(),
    phase: t.Union([TextOrNull], { description: "As in /debug/requests; null when it is over" }),
    began_at: t.String({ description: "RFC 3339" }),
    client: TextOrNull,
    method: t.String(),
    path: t.String(),
    model: TextOrNull,
    stream: t.Boolean(),
    status: NumberOrNull,
    outcome: TextOrNull,
    error: TextOrNull,
    admitted_ms: NumberOrNull,
    first_byte_ms: NumberOrNull,
    total_ms: NumberOrNull,
    longest_gap_ms: t.Number(),
    bytes_in: t.Number(),
    bytes_out: t.Number(),
    pieces: t.Number(),
    prompt_tokens: t.Union([NumberOrNull], { description: "Null where the answer does not say" }),
    output_tokens: NumberOrNull,
    cached_tokens: NumberOrNull,
    attempts: t.Array(
      t.Object({
        node: t.String(),
        node_name: t.Optional(t.String({ description: "Where it has one" })),
        sent_ms: NumberOrNull,
        first_byte_ms: NumberOrNull,
        outcome: TextOrNull,
        status: t.Union([NumberOrNull], {
          description:
            "What its answer amounts to, also where that says 200: a failure's status, or 299 when it holds nothing",
        }),
        detail: TextOrNull,
        choice: t.Union([
          t.Object({
            why: t.String({ description: "strategy, only (no other), trial or comparison" }),
            strategy: TextOrNull,
            candidates: t.Number(),
            last_resort: t.Boolean({ description: "No node was routable: all were candidates" }),
            best: t.Array(
              t.Object({
                node: t.String(),
                node_name: t.Optional(t.String()),
                score: t.Union([NumberOrNull], { description: "The strategy looks for the least" }),
                sample_age_ms: NumberOrNull,
                seen: t.Record(t.String(), NumberOrNull, {
                  description: "Every figure the strategy saw",
                }),
              }),
              { description: "The chosen one, then the best of the others; three at most" },
            ),
          }),
          t.Null(),
        ]),
      }),
    ),
  }),
);

/** Requests that were taken off wherever they were. */
export const Cancelled = t.Object({
  cancelled: Type.Integer({
    minimum: 1,
    description: "How many ran by this id: clients choose it",
  }),
});

/** The requests that have not ended, oldest first. */
export const OpenRequests = t.Array(
  t.Object({
    id: t.String(),
    phase: t.Union([
      t.Literal("reading"),
      t.Literal("waiting"),
      t.Literal("sent"),
      t.Literal("answering"),
    ]),
    age_s: t.Number({ minimum: 0 }),
    path: t.String({ description: "The route it came by" }),
    model: t.Union([t.String(), t.Null()]),
    client: t.Union([t.String(), t.Null()], { description: "Its key's name, or its address" }),
    node: t.Union([t.String(), t.Null()], { description: "The one it was sent to last" }),
    node_name: t.Union([t.String(), t.Null()]),
    attempts: Type.Integer({ minimum: 0 }),
    bytes_in: Type.Integer({ minimum: 0 }),
    bytes_out: Type.Integer({ minimum: 0 }),
    last_byte_age_s: t.Union([t.Number(), t.Null()]),
  }),
);
