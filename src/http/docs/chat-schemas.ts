/**
 * The bodies of the chat APIs as far as most engines agree on them. They describe and never check:
 * bodies pass unparsed, and fields that are not named here reach the engine as they are.
 */
import { Type } from "@sinclair/typebox";

/** Fields that are not named pass, too. */
export const OPEN = { additionalProperties: true };

const Tokens = (description: string) => Type.Optional(Type.Integer({ minimum: 1, description }));

export const ModelName = Type.Optional(
  Type.String({
    description:
      "One of /v1/models. May be left out while only one model is served; with several it is a 400.",
  }),
);

export const Stream = Type.Optional(
  Type.Boolean({ default: false, description: "Answer piece by piece, as text/event-stream" }),
);

const SAMPLING = {
  temperature: Type.Optional(Type.Number({ minimum: 0, description: "Randomness; 0 is greedy" })),
  top_p: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
};

const Content = Type.Union(
  [Type.String(), Type.Array(Type.Object({ type: Type.String() }, OPEN)), Type.Null()],
  {
    description: "Text, or parts such as text and images",
  },
);

const Message = Type.Object({ role: Type.String(), content: Type.Optional(Content) }, OPEN);

const Usage = Type.Object(
  {
    prompt_tokens: Type.Integer(),
    completion_tokens: Type.Optional(Type.Integer()),
    total_tokens: Type.Integer(),
  },
  OPEN,
);

export const OptionalUsage = Type.Optional(Type.Union([Usage, Type.Null()]));

const CompletionRequest = {
  model: ModelName,
  stream: Stream,
  stream_options: Type.Optional(
    Type.Object(
      { include_usage: Type.Optional(Type.Boolean()) },
      { ...OPEN, description: "For streams" },
    ),
  ),
  max_tokens: Tokens("How long the answer may get, tokens"),
  ...SAMPLING,
  n: Type.Optional(Type.Integer({ minimum: 1, description: "How many answers" })),
  stop: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String()), Type.Null()])),
  seed: Type.Optional(Type.Integer()),
};

const Choice = {
  index: Type.Integer(),
  finish_reason: Type.Union([Type.String(), Type.Null()], {
    description: "stop, length, tool_calls, …",
  }),
};

const CompletionAnswer = {
  id: Type.String(),
  created: Type.Integer({ description: "s since 1970" }),
  model: Type.String(),
  usage: OptionalUsage,
};

export const CHAT_SCHEMAS = {
  ChatCompletionRequest: Type.Object(
    {
      ...CompletionRequest,
      messages: Type.Union([Type.Array(Message), Type.String()], {
        description: "The conversation so far; LMDeploy takes a plain string, too",
      }),
      max_completion_tokens: Tokens("The newer name of max_tokens"),
      tools: Type.Optional(
        Type.Array(Type.Object({}, OPEN), { description: "What the model may call" }),
      ),
      tool_choice: Type.Optional(Type.Union([Type.String(), Type.Object({}, OPEN)])),
      response_format: Type.Optional(
        Type.Object(
          { type: Type.String() },
          { ...OPEN, description: "text, json_object, json_schema" },
        ),
      ),
    },
    OPEN,
  ),
  ChatCompletion: Type.Object(
    {
      ...CompletionAnswer,
      object: Type.Literal("chat.completion"),
      choices: Type.Array(Type.Object({ ...Choice, message: Message }, OPEN)),
    },
    OPEN,
  ),
  CompletionRequest: Type.Object(
    {
      ...CompletionRequest,
      prompt: Type.Union(
        [
          Type.String(),
          Type.Array(Type.String()),
          Type.Array(Type.Integer()),
          Type.Array(Type.Array(Type.Integer())),
        ],
        { description: "One prompt or several, as text or tokens" },
      ),
    },
    OPEN,
  ),
  Completion: Type.Object(
    {
      ...CompletionAnswer,
      object: Type.Literal("text_completion"),
      choices: Type.Array(Type.Object({ ...Choice, text: Type.String() }, OPEN)),
    },
    OPEN,
  ),
  ResponseRequest: Type.Object(
    {
      model: ModelName,
      input: Type.Union([Type.String(), Type.Array(Type.Object({}, OPEN))], {
        description: "The question, or the items of the conversation so far",
      }),
      instructions: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      stream: Stream,
      max_output_tokens: Tokens("How long the answer may get, tokens"),
      ...SAMPLING,
      tools: Type.Optional(Type.Array(Type.Object({}, OPEN))),
    },
    OPEN,
  ),
  Response: Type.Object(
    {
      id: Type.String(),
      object: Type.Literal("response"),
      model: Type.String(),
      status: Type.String({ description: "completed, incomplete, failed, …" }),
      output: Type.Array(Type.Object({ type: Type.String() }, OPEN)),
      usage: Type.Optional(Type.Union([Type.Object({}, OPEN), Type.Null()])),
    },
    OPEN,
  ),
  MessageRequest: Type.Object(
    {
      model: ModelName,
      max_tokens: Type.Integer({ minimum: 1, description: "How long the answer may get, tokens" }),
      messages: Type.Array(Message),
      system: Type.Optional(Type.Union([Type.String(), Type.Array(Type.Object({}, OPEN))])),
      stream: Stream,
      ...SAMPLING,
      stop_sequences: Type.Optional(Type.Array(Type.String())),
      tools: Type.Optional(Type.Array(Type.Object({}, OPEN))),
    },
    OPEN,
  ),
  AnthropicMessage: Type.Object(
    {
      id: Type.String(),
      type: Type.Literal("message"),
      role: Type.Literal("assistant"),
      model: Type.String(),
      content: Type.Array(Type.Object({ type: Type.String() }, OPEN)),
      stop_reason: Type.Union([Type.String(), Type.Null()]),
      usage: Type.Object({ input_tokens: Type.Integer(), output_tokens: Type.Integer() }, OPEN),
    },
    OPEN,
  ),
  CountTokensRequest: Type.Object(
    {
      model: ModelName,
      messages: Type.Array(Message),
      system: Type.Optional(Type.Union([Type.String(), Type.Array(Type.Object({}, OPEN))])),
    },
    OPEN,
  ),
  TokenCount: Type.Object({ input_tokens: Type.Integer({ minimum: 0 }) }, OPEN),
};
