import type { ElysiaSwaggerConfig } from "@elysiajs/swagger";
import { type TSchema, Type } from "@sinclair/typebox";
import {
  Cancelled,
  Collected,
  Draining,
  ErrorEnvelope,
  Explanations,
  Message,
  NodeStatus,
  NodeUrlBody,
  OpenRequests,
  ShownNode,
  WarmedUp,
} from "../schemas.ts";
import { LogSettings, Reloaded, Settings, Upgraded } from "../setting-schemas.ts";
import { CHAT_SCHEMAS } from "./chat-schemas.ts";
import { ENGINE_SCHEMAS } from "./engine-schemas.ts";
import { errorResponses } from "./errors.ts";
import { WORKER_SCHEMAS } from "./worker-schemas.ts";

const AnthropicError = Type.Object({
  type: Type.Literal("error"),
  error: Type.Object({
    type: Type.String(),
    message: Type.String({ description: "What is wrong, and what would be right" }),
  }),
  request_id: Type.Optional(Type.String({ description: "The request's, as in `request-id`" })),
});

const Model = Type.Object({
  id: Type.String(),
  object: Type.Literal("model"),
  created: Type.Integer({ description: "s since 1970" }),
  owned_by: Type.String(),
  root: Type.String(),
  parent: Type.Union([Type.String(), Type.Null()], { description: "Of an adapter: its base" }),
  permission: Type.Array(Type.Object({})),
  max_model_len: Type.Optional(
    Type.Union([Type.Integer(), Type.Null()], {
      description: "Context, tokens: the shortest of all nodes",
    }),
  ),
});

const ModelList = Type.Object({ object: Type.Literal("list"), data: Type.Array(Model) });

const AnthropicModel = Type.Object({
  id: Type.String(),
  type: Type.Literal("model"),
  display_name: Type.String(),
  created_at: Type.String({ format: "date-time" }),
});

const AnthropicModelList = Type.Object({
  data: Type.Array(AnthropicModel),
  has_more: Type.Boolean(),
  first_id: Type.Union([Type.String(), Type.Null()]),
  last_id: Type.Union([Type.String(), Type.Null()]),
});

const RoleCount = Type.Object({
  healthy: Type.Integer({ minimum: 0 }),
  total: Type.Integer({ minimum: 0 }),
});

const SCHEMAS: Readonly<Record<string, TSchema>> = {
  Error: ErrorEnvelope,
  AnthropicError,
  Message,
  Status: Type.Object({
    status: Type.String(),
    healthy_workers: Type.Optional(Type.Integer({ minimum: 0 })),
    total_workers: Type.Optional(Type.Integer({ minimum: 0 })),
    prefill: Type.Optional(RoleCount),
    decode: Type.Optional(RoleCount),
  }),
  Model,
  ModelList,
  AnthropicModel,
  AnthropicModelList,
  NodeUrl: NodeUrlBody,
  Explanations,
  Cancelled,
  OpenRequests,
  LogSettings,
  Settings,
  Reloaded,
  NodeStatus,
  NodeStatuses: Type.Object(
    {},
    { additionalProperties: Type.Ref("#/components/schemas/NodeStatus"), description: "By URL" },
  ),
  ShownNode,
  Draining,
  WarmedUp,
  Collected,
  Upgraded,
  ...CHAT_SCHEMAS,
  ...ENGINE_SCHEMAS,
  ...WORKER_SCHEMAS,
};

type Components = NonNullable<ElysiaSwaggerConfig["documentation"]>["components"];

/** What operations refer to by name. */
export const COMPONENTS: NonNullable<Components> = {
  schemas: SCHEMAS,
  responses: errorResponses(),
  securitySchemes: {
    apiKey: {
      type: "http",
      scheme: "bearer",
      description: "One of `--api-keys`, as `Authorization: Bearer KEY`",
    },
    xApiKey: {
      type: "apiKey",
      in: "header",
      name: "x-api-key",
      description: "One of `--api-keys`, as Anthropic's clients send it",
    },
    adminKey: {
      type: "http",
      scheme: "bearer",
      description: "The `--admin-key`; where there is none, one of `--api-keys`",
    },
  },
};
