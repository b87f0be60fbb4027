import type { Endpoint } from "./endpoint.ts";
import { EXAMPLE_MODEL } from "./example-model.ts";

const MODEL = EXAMPLE_MODEL;
const QUESTION = [{ role: "user", content: "Why is the sky blue?" }];
const ANSWER = "Because air scatters blue light more than red.";
const CREATED_S = 1_795_000_000;
const USAGE = { prompt_tokens: 13, completion_tokens: 11, total_tokens: 24 };

/** Answers with one event a line, as OpenAI streams them. */
function events(...data: readonly (object | string)[]): string {
  return data
    .map((one) => `data: ${typeof one === "string" ? one : JSON.stringify(one)}\n\n`)
    .join("");
}

interface NamedEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Answers with named events, as Anthropic and OpenAI's Responses stream them. */
function namedEvents(...data: readonly NamedEvent[]): string {
  return data.map((one) => `event: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`).join("");
}

function chatChunk(delta: object, finish_reason: string | null) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: CREATED_S,
    model: MODEL,
    choices: [{ index: 0, delta, finish_reason }],
  };
}

const WEATHER_TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const chatCompletions: Endpoint = {
  operationId: "createChatCompletion",
  summary: "Chat",
  description: "OpenAI's Chat Completions.",
  request: "ChatCompletionRequest",
  requests: {
    whole: {
      summary: "A question",
      value: { model: MODEL, messages: QUESTION, max_tokens: 64 },
    },
    streamed: {
      summary: "A streamed answer",
      value: {
        model: MODEL,
        messages: QUESTION,
        max_tokens: 64,
        stream: true,
        stream_options: { include_usage: true },
      },
    },
    tools: {
      summary: "With a tool",
      value: {
        model: MODEL,
        messages: [{ role: "user", content: "What is the weather in Oslo?" }],
        tools: [WEATHER_TOOL],
      },
    },
  },
  answer: "ChatCompletion",
  answered: {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: CREATED_S,
    model: MODEL,
    choices: [{ index: 0, message: { role: "assistant", content: ANSWER }, finish_reason: "stop" }],
    usage: USAGE,
  },
  streamed: events(
    chatChunk({ role: "assistant", content: "Because" }, null),
    chatChunk({ content: " air" }, null),
    chatChunk({}, "stop"),
    "[DONE]",
  ),
};

const completions: Endpoint = {
  operationId: "createCompletion",
  summary: "Continue a text",
  description: "OpenAI's Completions.",
  request: "CompletionRequest",
  requests: {
    whole: {
      summary: "One prompt",
      value: { model: MODEL, prompt: "The sky is blue because", max_tokens: 32 },
    },
    streamed: {
      summary: "A streamed answer",
      value: { model: MODEL, prompt: "The sky is blue because", max_tokens: 32, stream: true },
    },
  },
  answer: "Completion",
  answered: {
    id: "cmpl-1",
    object: "text_completion",
    created: CREATED_S,
    model: MODEL,
    choices: [{ index: 0, text: " air scatters blue light.", finish_reason: "stop" }],
    usage: USAGE,
  },
  streamed: events(
    {
      id: "cmpl-1",
      object: "text_completion",
      created: CREATED_S,
      model: MODEL,
      choices: [{ index: 0, text: " air", finish_reason: null }],
    },
    "[DONE]",
  ),
};

const RESPONSE = { id: "resp_1", object: "response", created_at: CREATED_S, model: MODEL };

const responses: Endpoint = {
  operationId: "createResponse",
  summary: "Respond",
  description: "OpenAI's Responses.",
  request: "ResponseRequest",
  requests: {
    whole: {
      summary: "A question",
      value: { model: MODEL, input: "Why is the sky blue?", max_output_tokens: 64 },
    },
    streamed: {
      summary: "A streamed answer",
      value: { model: MODEL, input: "Why is the sky blue?", stream: true },
    },
  },
  answer: "Response",
  answered: {
    ...RESPONSE,
    status: "completed",
    output: [
      {
        id: "msg_1",
        type: "message",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: ANSWER, annotations: [] }],
      },
    ],
    usage: { input_tokens: 13, output_tokens: 11, total_tokens: 24 },
  },
  streamed: namedEvents(
    { type: "response.created", response: { ...RESPONSE, status: "in_progress" } },
    { type: "response.output_text.delta", item_id: "msg_1", delta: "Because" },
    { type: "response.completed", response: { ...RESPONSE, status: "completed" } },
  ),
};

const messages: Endpoint = {
  operationId: "createMessage",
  summary: "Chat, as Anthropic's clients do",
  description: "Anthropic's Messages. Errors of the proxy are in Anthropic's envelope here.",
  dialect: "anthropic",
  request: "MessageRequest",
  requests: {
    whole: { summary: "A question", value: { model: MODEL, max_tokens: 64, messages: QUESTION } },
    streamed: {
      summary: "A streamed answer",
      value: { model: MODEL, max_tokens: 64, messages: QUESTION, stream: true },
    },
  },
  answer: "AnthropicMessage",
  answered: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: MODEL,
    content: [{ type: "text", text: ANSWER }],
    stop_reason: "end_turn",
    stop_sequence: null,
    usage: { input_tokens: 13, output_tokens: 11 },
  },
  streamed: namedEvents(
    { type: "message_start", message: { id: "msg_1", role: "assistant", model: MODEL } },
    {
      type: "content_block_delta",
      index: 0,
      delta: { type: "text_delta", text: "Because" },
    },
    { type: "message_stop" },
  ),
};

const countTokens: Endpoint = {
  operationId: "countMessageTokens",
  summary: "Count the tokens of a message",
  description: "Anthropic's token counting.",
  dialect: "anthropic",
  request: "CountTokensRequest",
  requests: { whole: { summary: "A question", value: { model: MODEL, messages: QUESTION } } },
  answer: "TokenCount",
  answered: { input_tokens: 13 },
};

export const CHAT_ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  "/v1/chat/completions": chatCompletions,
  "/v1/completions": completions,
  "/v1/responses": responses,
  "/v1/messages": messages,
  "/v1/messages/count_tokens": countTokens,
};
