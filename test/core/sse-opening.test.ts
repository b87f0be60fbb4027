import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { failureOfWhole, holdsNothing } from "../../src/core/said-failure.ts";
import {
  failureAtEnd,
  MAX_OPENING_BYTES,
  SseOpening,
  type Verdict,
} from "../../src/core/sse-opening.ts";
import { runs } from "./fuzz.ts";

const encoder = new TextEncoder();

function event(data: object | string, name = ""): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return `${name === "" ? "" : `event: ${name}\n`}data: ${text}\n\n`;
}

function named(type: string, fields: object = {}): string {
  return event({ type, ...fields }, type);
}

/** What is known of a stream after these bytes, and when it has ended. */
function judge(text: string | Uint8Array, cuts: readonly number[] = []): [Verdict, Verdict] {
  const bytes = typeof text === "string" ? encoder.encode(text) : text;
  const opening = new SseOpening();
  let verdict: Verdict = "opening";
  let start = 0;
  for (const end of [...cuts, bytes.length]) {
    verdict = opening.push(bytes.subarray(start, end));
    start = end;
  }
  return [verdict, opening.end()];
}

const chat = (delta: object, finish_reason: string | null = null) =>
  event({ choices: [{ index: 0, delta, finish_reason }] });

const OPENINGS = {
  "a role": chat({ role: "assistant", content: "" }),
  "a role alone": event({ choices: [{ index: 0, delta: { role: "assistant", tool_calls: [] } }] }),
  "no choice": event({ choices: [] }),
  "a completion without text": event({ choices: [{ index: 0, text: "", finish_reason: null }] }),
  comments: ": ping\n\n:\n\n: x\n",
  "a pause to keep": "retry: 100\n\nid: 3\n\n",
  "a ping": named("ping"),
  "a message": named("message_start", { message: { content: [] } }),
  "an empty block": named("content_block_start", { content_block: { type: "text", text: "" } }),
  "a response": named("response.created") + named("response.in_progress"),
  "an item": named("response.output_item.added", { item: { type: "message", content: [] } }),
  "a part": named("response.content_part.added", { part: { type: "output_text", text: "" } }),
  "a named event without a name": event({ type: "message_start" }),
} as const;

const BEGINNINGS = {
  "a word": chat({ content: "a" }),
  "a thought": chat({ role: "assistant", content: "", reasoning_content: "Hm" }),
  "a tool": chat({ tool_calls: [{ index: 0 }] }),
  "a refusal": chat({ refusal: "I" }),
  "an end": chat({}, "stop"),
  "a completion": event({ choices: [{ index: 0, text: "a" }] }),
  "one choice of two": event({ choices: [{ delta: {} }, { delta: { content: "a" } }] }),
  "a tool's block": named("content_block_start", { content_block: { type: "tool_use" } }),
  "a delta": named("content_block_delta", { delta: { text: "a" } }),
  "a call": named("response.output_item.added", { item: { type: "function_call" } }),
  "a text": named("response.output_text.delta", { delta: "a" }),
  "SGLang's own": event({ text: "a", meta_info: {} }),
  "no JSON": event("words"),
  "broken JSON": event('{"choices":'),
  "JSON that is no object": event("[1]"),
  "nothing wrong": event({ error: null, text: "a" }),
} as const;

const FAILURES = [
  ["LMDeploy's", event({ error: { message: "x", type: "server_error", code: 503 } }), 503],
  ["vLLM's", event({ error: { message: "x", type: "BadRequestError", code: 400 } }), 400],
  ["an older vLLM's", event({ object: "error", message: "x", code: 500 }), 500],
  ["a code in text", event({ error: { code: "429" } }), 429],
  ["one without a code", event({ error: { message: "x" } }), 500],
  ["a text", event({ error: "out of memory" }), 500],
  ["a code that is no status", event({ error: { code: 10400 } }), 500],
  ["a rate limit", event({ error: { type: "rate_limit_exceeded", code: null } }), 429],
  ["llama.cpp's", 'error: {"code":503,"message":"Loading"}\n\n', 503],
  ["Anthropic's", named("error", { error: { type: "overloaded_error" } }), 503],
  ["Anthropic's, unnamed", event({ type: "error", error: { type: "api_error" } }), 500],
  [
    "a response's",
    named("response.failed", { response: { error: { code: "server_error" } } }),
    500,
  ],
  ["the Responses API's", named("error", { code: "rate_limit_exceeded", message: "x" }), 429],
  ["an abort", chat({}, "abort"), 503],
  ["an error as the end", chat({ content: "" }, "error"), 500],
  ["the end of all", event("[DONE]"), 502],
] as const;

describe("the beginning of a stream", () => {
  test.each(Object.entries(OPENINGS))("%s says nothing yet", (_, text) => {
    expect(judge(text)).toEqual(["opening", { failure: 502 }]);
  });

  test.each(Object.entries(BEGINNINGS))("%s is something generated", (_, text) => {
    const all = Object.values(OPENINGS).join("");
    for (const before of ["", all]) expect(judge(before + text)).toEqual(["begun", "begun"]);
  });

  test.each(FAILURES)("%s is a failure", (_, text, failure) => {
    const all = Object.values(OPENINGS).join("");
    for (const before of ["", all]) {
      expect(judge(before + text)).toEqual([{ failure }, { failure }]);
      // What follows changes nothing.
      expect(judge(before + text + BEGINNINGS["a word"])[0]).toEqual({ failure });
    }
  });

  test("an error in the middle of words is words", () => {
    expect(judge(BEGINNINGS["a word"] + FAILURES[0][1])[0]).toBe("begun");
  });

  test.each(["type", "error"])("whatever an engine says as %s can be read", (member) => {
    const nested = "[".repeat(100_000) + "]".repeat(100_000);
    for (const said of [
      '{"toString":1}',
      '{"code":{"toString":1},"type":{"toString":1}}',
      nested,
    ]) {
      const text = event(`{"object":"chunk","${member}":${said}}`);
      expect(judge(text)[0]).not.toBe("opening");
      expect(() => failureAtEnd(encoder.encode(`: error\n\n${text}`))).not.toThrow();
    }
  });

  test("an opening that does not end is let go", () => {
    const opening = new SseOpening();
    const comment = encoder.encode(`: ${"x".repeat(1_000)}\n`);
    let bytes = 0;
    while (opening.push(comment) === "opening") bytes += comment.length;
    expect(bytes).toBeLessThanOrEqual(MAX_OPENING_BYTES);
  });

  test("a last event without an empty line counts", () => {
    expect(judge('data: {"error":{"code":503}}')).toEqual(["opening", { failure: 503 }]);
  });
});

const pieces = [...Object.values(OPENINGS), ...Object.values(BEGINNINGS)];
const streams = fc
  .array(fc.constantFrom(...pieces, ...FAILURES.map(([, text]) => text)), { maxLength: 6 })
  .map((events) => events.join(""));

test("wherever a stream is cut, and however its lines end, the verdict is the same", () => {
  fc.assert(
    fc.property(
      streams,
      fc.constantFrom("\n", "\r", "\r\n"),
      fc.array(fc.nat(2_000), { maxLength: 30 }),
      (text, end, cuts) => {
        const bytes = encoder.encode(text.replaceAll("\n", end));
        const sorted = cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b);
        expect(judge(bytes, sorted)[1]).toEqual(judge(text)[1]);
      },
    ),
    runs(300),
  );
});

test("cut at every byte", () => {
  const text = Object.values(OPENINGS).join("");
  for (const [, failing, failure] of FAILURES) {
    const bytes = encoder.encode(text + failing);
    expect(judge(bytes, [...bytes.keys()])[0]).toEqual({ failure });
  }
});

test("any bytes get a verdict", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (given) => {
      const opening = new SseOpening();
      for (const piece of given) opening.push(piece);
      expect(opening.end()).not.toBe("opening");
      expect(() => failureAtEnd(Buffer.concat(given))).not.toThrow();
      for (const piece of given) expect(() => failureOfWhole(piece)).not.toThrow();
    }),
    runs(300),
  );
});

describe("the end of a stream", () => {
  const read = (...texts: string[]) => failureAtEnd(encoder.encode(texts.join("")));

  test.each(FAILURES.slice(0, 8))("%s is found", (_, text, failure) => {
    expect(read("a half event\n\n", text + event("[DONE]"))).toBe(failure);
    expect(read(text, event("[DONE]"))).toBe(failure);
  });

  test.each([
    ['event: error\ndata: {"message":"', '"}\n\n', 500],
    ['data: {"error":{"message":"', '","type":"overloaded_error","param":null}}\n\n', 503],
    ['data: {"error": {"message": "', '", "type": "BadRequestError", "code": 400}}\n\n', 400],
    ['data: {"object":"error","message":"', '","code":"404"}\n\n', 404],
    ['data: {"type":"response.failed","response":{"output":["', '"]}}\n\n', 500],
    ['data: {"type":"response.completed","response":{"output":["', '","error"]}}\n\n', null],
    ['data: {"choices":[{"delta":{"content":"', 'an error"}}]}\n\n', null],
  ])("of a long event what there is of it tells (%#)", (opening, end, failure) => {
    expect(read(`${opening}a mess`, `age \\"code\\": 1${end}`, event("[DONE]"))).toBe(failure);
    expect(read(`${opening}a mess`, `"age \\"code\\": 1${end}`, event("[DONE]"))).toBe(failure);
  });

  test("words about errors are words", () => {
    expect(read(chat({ content: '"error": {"code": 500} failed' }), event("[DONE]"))).toBeNull();
    expect(read('tent":"error"}}]}\n\n', event("[DONE]"))).toBeNull();
    // JSON and streams of events both have these inside of a line.
    for (const separator of ["\u2028", "\u2029"]) {
      const lines = `${separator}event: error${separator}data: {"error":"x"}${separator}`;
      expect(read(chat({ content: lines }), event("[DONE]"))).toBeNull();
    }
  });
});

describe("a whole answer", () => {
  const read = (value: unknown) => failureOfWhole(encoder.encode(JSON.stringify(value)));

  test("of which every choice was given up is none", () => {
    expect(read({ choices: [{ finish_reason: "abort" }] })).toBe(503);
    expect(read({ choices: [{ finish_reason: "error" }, { finish_reason: "abort" }] })).toBe(500);
  });

  test("is what it is otherwise", () => {
    expect(read({ choices: [{ finish_reason: "abort" }, { finish_reason: "stop" }] })).toBeNull();
    expect(
      read({ choices: [{ message: { content: "abort" }, finish_reason: "stop" }] }),
    ).toBeNull();
    expect(read({ choices: [] })).toBeNull();
    expect(read({ data: ["abort"] })).toBeNull();
    expect(read(["abort"])).toBeNull();
  });
});

test.each([
  ["", true],
  ['{"choices":[]}', true],
  ['{"id":"x", "choices" : [ ] ,"usage":{"completion_tokens":0}}\n', true],
  ['{"object":"list","data":[]}', true],
  ['{"choices":[{"text":"\\"choices\\":[]"}]}', false],
  ['{"choices":[{"text":"","extra":{"choices":[]}}]}', false],
  ['{"choices":[],', false],
  ["{}", false],
  [`{"choices":[],"padding":"${"x".repeat(2_000)}"}`, false],
])("%p holds nothing: %p", (answer, isSo) => {
  expect(holdsNothing(new TextEncoder().encode(answer))).toBe(isSo);
});
