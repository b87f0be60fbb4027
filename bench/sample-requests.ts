/** 200 requests as clients of LLM engines send them, and what the engine answers to each. */
import { REFUSED, STREAMED } from "./sample-streams.ts";
import { chatAnswer, MODEL, type Sample, spelled, text, times, USAGE, whole } from "./samples.ts";

const chat = times(50, (at) => ({
  kind: "chat",
  path: "/v1/chat/completions",
  body: spelled(at, {
    model: MODEL,
    messages: [
      ...(at % 3 === 0 ? [{ role: "system", content: "Be short." }] : []),
      { role: "user", content: at % 5 === 0 ? [{ type: "text", text: text(at) }] : text(at) },
    ],
    ...(at % 2 === 0 ? { temperature: 0.7, max_tokens: 16 } : { max_completion_tokens: 16 }),
    ...(at % 7 === 0 ? { stop: ["\n\n"], seed: 7, n: 1, user: "somebody" } : {}),
    ...(at % 11 === 0 ? { logprobs: true, top_logprobs: 2 } : {}),
  }),
  answer: chatAnswer({ content: text(at + 1), refusal: null }),
}));

const completions = times(30, (at) => ({
  kind: "completions",
  path: "/v1/completions",
  body: spelled(at, {
    model: MODEL,
    prompt: [text(at), [text(at), text(at + 1)], [1, 2, 3, 128_000], [[1, 2], [3]]][at % 4],
    max_tokens: 16,
    ...(at % 3 === 0 ? { echo: true, logprobs: 1, suffix: null } : {}),
  }),
  answer: whole({
    id: "cmpl-1",
    object: "text_completion",
    created: 1_764_000_000,
    model: MODEL,
    choices: [{ index: 0, text: text(at + 1), finish_reason: "length", logprobs: null }],
    usage: USAGE,
  }),
}));

const WEATHER = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather of a place",
    strict: true,
    parameters: {
      type: "object",
      properties: {
        place: { type: "string", pattern: "^\\p{L}+$" },
        days: { type: "integer", minimum: 1, maximum: 1e2 },
        unit: { anyOf: [{ enum: ["°C", "°F"] }, { type: "null" }], default: null },
      },
      required: ["place"],
      additionalProperties: false,
    },
  },
};
const CALL = {
  id: "call_1",
  type: "function",
  function: { name: "weather", arguments: '{"place": "Zürich", "days": 1.0}' },
};

const tools = times(20, (at) => ({
  kind: "tools",
  path: "/v1/chat/completions",
  body: spelled(at, {
    model: MODEL,
    messages: [
      { role: "user", content: text(at) },
      ...(at % 2 === 0
        ? [
            { role: "assistant", content: null, tool_calls: [CALL] },
            { role: "tool", tool_call_id: "call_1", content: '{"sky":"clear"}' },
          ]
        : []),
    ],
    tools: [WEATHER],
    tool_choice: ["auto", "required", "none", { type: "function", function: { name: "weather" } }][
      at % 4
    ],
    parallel_tool_calls: at % 3 !== 0,
  }),
  answer: chatAnswer({ content: null, tool_calls: [CALL] }),
}));

/** Fields of engines, of releases that a router has not heard of, and numbers that JSON readers round. */
const MORE_FIELDS: readonly object[] = [
  { top_k: 40, min_p: 0.05, repetition_penalty: 1.1, ignore_eos: true, skip_special_tokens: false },
  { chat_template_kwargs: { enable_thinking: false }, reasoning_effort: "none" },
  { guided_json: { type: "object" }, guided_decoding_backend: "xgrammar" },
  { structured_outputs: { regex: "[a-z]+" }, return_token_ids: true, cache_salt: "s" },
  {
    session_params: { id: "s1", rid: "r1", offset: -1 },
    lora_path: null,
    return_hidden_states: true,
  },
  { kv_transfer_params: { do_remote_decode: true }, vllm_xargs: { a: 1 }, priority: -5 },
  { session_id: 2 ** 53, spaces_between_special_tokens: false },
  { extra: { deep: [[[{ a: null }]]], zero: -0, tiny: 1e-320, big: 1e300 } },
  { "x-vendor.field": [], metadata: { trace: "t" }, service_tier: "flex", store: false },
  { mm_processor_kwargs: { fps: 2 }, documents: [{ title: "t" }], add_generation_prompt: true },
];

const unknown = times(20, (at) => ({
  kind: "unknown fields",
  path: at % 2 === 0 ? "/v1/chat/completions" : "/v1/completions",
  body: spelled(at, {
    ...(at % 2 === 0 ? { messages: [{ role: "user", content: "x" }] } : { prompt: "x" }),
    ...MORE_FIELDS[(at >> 1) % MORE_FIELDS.length],
    model: MODEL,
  }).replace("9007199254740992", "9007199254740993"),
  answer: chatAnswer(
    { content: "x", reasoning_content: "because", reasoning: "because" },
    { kv_transfer_params: { remote: [1] }, prompt_token_ids: [1, 2], engine_field: 1.0 },
  ),
}));

/** The PNG of one pixel, and after its end bytes that nobody looks at. */
function picture(bytes: number): string {
  const png = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
  return `data:image/png;base64,${Buffer.concat([png, Buffer.alloc(bytes, 0x5a)]).toString("base64")}`;
}

const images = times(10, (at) => ({
  kind: "images",
  path: "/v1/chat/completions",
  body: spelled(at, {
    model: MODEL,
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: text(at) },
          { type: "image_url", image_url: { url: picture(1_000 * 4 ** (at % 6)), detail: "low" } },
        ],
      },
    ],
  }),
  answer: chatAnswer({ content: "a pixel" }),
}));

export const SAMPLES: readonly Sample[] = [
  ...chat,
  ...completions,
  ...tools,
  ...unknown,
  ...images,
  ...STREAMED,
  ...REFUSED,
];
