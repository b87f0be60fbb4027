import { dialectOf } from "../dialect.ts";
import { failures } from "../docs/errors.ts";
import { ok } from "../docs/operation.ts";
import { anthropicModels, oneAnthropicModel, oneOpenAiModel, openAiModels } from "../models.ts";
import { route } from "./route.ts";

const ROW = { method: "GET", who: "client" } as const;
const TAGS = ["Models"];

const MODEL = {
  id: "internlm2-chat-7b",
  object: "model",
  created: 1_795_000_000,
  owned_by: "lmproxy",
  root: "internlm2-chat-7b",
  parent: null,
  permission: [],
};

const ANTHROPIC_MODEL = {
  id: "internlm2-chat-7b",
  type: "model",
  display_name: "internlm2-chat-7b",
  created_at: "2026-11-18T13:20:00.000Z",
};

const MODEL_PARAMETER = {
  name: "model",
  in: "path",
  required: true,
  schema: { type: "string" },
  example: "internlm2-chat-7b",
} as const;

const ANTHROPIC_MODELS = {
  data: [ANTHROPIC_MODEL],
  has_more: false,
  first_id: "internlm2-chat-7b",
  last_id: "internlm2-chat-7b",
};

/** What can be asked for, in OpenAI's and Anthropic's words. */
export const modelRoutes = [
  route({
    ...ROW,
    path: "/v1/models",
    detail: {
      tags: TAGS,
      operationId: "listModels",
      summary: "List the models",
      description:
        "Every model that some node serves, each once, with what its engine says of it. With `anthropic-version` as under /anthropic.",
      responses: {
        ...ok("ModelList", { object: "list", data: [MODEL] }, "The models"),
        ...failures(["invalid_api_key", "internal_error"]),
      },
    },
    answer: ({ request }, services) =>
      dialectOf("/v1/models", request.headers) === "anthropic"
        ? anthropicModels(services, services.startedAtS)
        : openAiModels(services, services.startedAtS),
  }),
  route({
    ...ROW,
    path: "/v1/models/*",
    detail: {
      tags: TAGS,
      operationId: "getModel",
      summary: "Show one model",
      description:
        "Whether a model is served. Its name may hold slashes, escaped or as they are. With " +
        "`anthropic-version` as under /anthropic.",
      parameters: [MODEL_PARAMETER],
      responses: {
        ...ok("Model", MODEL, "The model"),
        ...failures([
          "invalid_api_key",
          "model_not_found",
          "internal_error",
          "service_unavailable",
        ]),
      },
    },
    answer: ({ request, params }, services) =>
      dialectOf("/v1/models", request.headers) === "anthropic"
        ? oneAnthropicModel(services, nameOf(params), services.startedAtS)
        : oneOpenAiModel(services, nameOf(params), services.startedAtS),
  }),
  route({
    ...ROW,
    path: "/anthropic/v1/models",
    detail: {
      tags: TAGS,
      security: [{ apiKey: [] }, { xApiKey: [] }],
      operationId: "listAnthropicModels",
      summary: "List the models, as Anthropic's clients expect it",
      responses: {
        ...ok("AnthropicModelList", ANTHROPIC_MODELS, "The models"),
        ...failures(["invalid_api_key", "internal_error"], "anthropic"),
      },
    },
    answer: (_, services) => anthropicModels(services, services.startedAtS),
  }),
  route({
    ...ROW,
    path: "/anthropic/v1/models/*",
    detail: {
      tags: TAGS,
      security: [{ apiKey: [] }, { xApiKey: [] }],
      operationId: "getAnthropicModel",
      summary: "Show one model, as Anthropic's clients expect it",
      parameters: [MODEL_PARAMETER],
      responses: {
        ...ok("AnthropicModel", ANTHROPIC_MODEL, "The model"),
        ...failures(
          ["invalid_api_key", "model_not_found", "internal_error", "service_unavailable"],
          "anthropic",
        ),
      },
    },
    answer: ({ params }, services) =>
      oneAnthropicModel(services, nameOf(params), services.startedAtS),
  }),
];

/** The name behind `*`: clients escape its slashes. */
function nameOf(params: Readonly<Record<string, string>>): string {
  const name = params["*"] ?? "";
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
