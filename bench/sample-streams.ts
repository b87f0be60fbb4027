/** Of the 200 requests those that are answered by a stream, or by an error. */
import { JSON_TYPE, MODEL, type Sample, spelled, text, times, USAGE } from "./samples.ts";

function chunk(delta: object, more: object = {}): string {
  const value = {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1_764_000_000,
    model: MODEL,
    choices: [{ index: 0, delta, finish_reason: null }],
    ...more,
  };
  return `data: ${JSON.stringify(value)}\n\n`;
}

const FUNCTION = { index: 0, id: "call_1", type: "function" };
const STREAMS: readonly (readonly string[])[] = [
  [chunk({ role: "assistant", content: "" }), chunk({ content: "Blue" }), chunk({ content: "." })],
  [chunk({ content: "é🙂" }), ": a comment\n\n", chunk({ content: "\n" })],
  [
    chunk({
      role: "assistant",
      tool_calls: [{ ...FUNCTION, function: { name: "weather", arguments: "" } }],
    }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{"place": "Z' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: 'ürich"}' } }] }),
  ],
  [
    chunk({ reasoning_content: "hm" }),
    chunk({ content: "x" }, { usage: USAGE, engine_field: 1.0 }),
  ],
  [`id: 1\nevent: x\ndata: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n`],
];

export const STREAMED: readonly Sample[] = times(40, (at) => ({
  kind: "streams",
  path: "/v1/chat/completions",
  body: spelled(at, {
    model: MODEL,
    messages: [{ role: "user", content: text(at) }],
    stream: true,
    ...(at % 2 === 0 ? { stream_options: { include_usage: true } } : {}),
  }),
  answer: {
    status: 200,
    type: "text/event-stream; charset=utf-8",
    pieces: [...(STREAMS[at % STREAMS.length] ?? []), "data: [DONE]\n\n"],
  },
}));

const REFUSALS: readonly (readonly [number, string, string])[] = [
  [
    400,
    JSON_TYPE,
    '{"error": {"message": "too long", "type": "BadRequestError", "param": null, "code": 400}}',
  ],
  [400, JSON_TYPE, '{"object":"error","message":"top_p must be in (0, 1]","code":400}'],
  [401, JSON_TYPE, '{"error":"Unauthorized"}'],
  [404, JSON_TYPE, '{"detail":"Not Found"}'],
  [413, "text/plain", "payload too large"],
  [422, JSON_TYPE, '{"detail":[{"loc":["body","n"],"msg":"must be ≥ 1"}]}'],
  [429, JSON_TYPE, '{"error":{"message":"busy"}}'],
  [500, "text/plain; charset=utf-8", "Internal Server Error"],
  [503, JSON_TYPE, '{"error":{"message":"engine is sleeping"}}'],
  [501, JSON_TYPE, '{"error":{"message":"not implemented here"}}'],
];

export const REFUSED: readonly Sample[] = times(30, (at) => {
  const [status, type, said] = REFUSALS[at % REFUSALS.length] ?? [500, "text/plain", ""];
  return {
    kind: "errors",
    path: at % 2 === 0 ? "/v1/chat/completions" : "/v1/completions",
    body: spelled(at, {
      model: MODEL,
      ...(at % 2 === 0
        ? { messages: [{ role: "user", content: text(at) }] }
        : { prompt: text(at) }),
      ...(at % 3 === 0 ? { stream: true } : {}),
    }),
    answer: { status, type, pieces: [said] },
  };
});
