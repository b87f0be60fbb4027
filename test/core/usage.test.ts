import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ENDING_BYTES, Ending } from "../../src/core/ending.ts";
import { OPENING_BYTES, type Usage, usageOf } from "../../src/core/usage.ts";
import { bytesOf } from "./body/json-text.ts";
import { runs } from "./fuzz.ts";

const CHAT = "/v1/chat/completions";

/** As the relay sees an answer: its pieces as they come, its beginning and its end. */
function read(target: string, text: string, form: "json" | "events", size = 7): Usage | null {
  const bytes = bytesOf(text);
  const ending = new Ending(form === "events");
  for (let at = 0; at < bytes.length; at += size) ending.push(bytes.subarray(at, at + size));
  return usageOf(form, target, bytes.subarray(0, OPENING_BYTES), ending.bytes);
}

const whole = (target: string, answer: object) => read(target, JSON.stringify(answer), "json");
const stream = (target: string, ...events: readonly object[]) =>
  read(target, `${events.map(eventOf).join("")}data: [DONE]\n\n`, "events");
const eventOf = (event: object) => `data: ${JSON.stringify(event)}\n\n`;

const tokens = (
  promptTokens: number | null,
  outputTokens: number | null,
  cached: number | null,
) => ({
  promptTokens,
  outputTokens,
  cachedTokens: cached,
});

const OPENAI = {
  prompt_tokens: 70,
  total_tokens: 79,
  completion_tokens: 9,
  prompt_tokens_details: { cached_tokens: 64 },
};

describe("what engines say", () => {
  test("chat and completions, whole, streamed, with the figures in each event", () => {
    expect(whole(CHAT, { id: "x", choices: [{}], usage: OPENAI, x: [1] })).toEqual(
      tokens(70, 9, 64),
    );
    const { prompt_tokens_details: _, ...plain } = OPENAI;
    expect(whole(CHAT, { usage: plain })).toEqual(tokens(70, 9, null));
    expect(whole(CHAT, { usage: { ...OPENAI, prompt_tokens_details: null } })).toEqual(
      tokens(70, 9, null),
    );
    const piece = { choices: [{ delta: { content: "a" } }], usage: null };
    expect(stream(CHAT, piece, { choices: [], usage: OPENAI })).toEqual(tokens(70, 9, 64));
    expect(stream(CHAT, { ...piece, usage: plain }, piece)).toEqual(tokens(70, 9, null));
    expect(stream(CHAT, piece)).toBeNull();
  });

  test("responses: in the last event, beside what the client sent", () => {
    const usage = {
      input_tokens: 70,
      input_tokens_details: { cached_tokens: 64 },
      output_tokens: 9,
      output_tokens_details: { reasoning_tokens: 3 },
    };
    const schema = { properties: { usage: { prompt_tokens: 1, input_tokens: 1 } } };
    const response = { output: [], tools: [{ parameters: schema }], usage, user: null };
    expect(whole("/v1/responses", response)).toEqual(tokens(70, 9, 64));
    const events = [{ type: "response.created", response: { usage: null } }];
    const last = { type: "response.completed", response, sequence_number: 9 };
    expect(stream("/v1/responses", ...events, last)).toEqual(tokens(70, 9, 64));
    const late = { response: { usage, tools: [{ parameters: schema }] }, sequence_number: 9 };
    expect(stream("/v1/responses?a=b", late)).toEqual(tokens(70, 9, 64));
  });

  test("messages: what was cached counts apart, and a stream says it in two places", () => {
    const usage = { input_tokens: 6, cache_read_input_tokens: 64, output_tokens: 9 };
    expect(whole("/v1/messages", { content: [], usage })).toEqual(tokens(70, 9, 64));
    const start = (given: object) => ({
      type: "message_start",
      message: { id: "m", usage: given },
    });
    const delta = (given: object) => ({ type: "message_delta", delta: {}, usage: given });
    const stop = { type: "message_stop" };
    const long = Array.from({ length: 500 }, () => ({
      type: "content_block_delta",
      delta: "words",
    }));
    const first = { ...usage, output_tokens: 1 };
    const lmdeploy = stream(
      "/v1/messages",
      start(first),
      ...long,
      delta({ output_tokens: 9 }),
      stop,
    );
    expect(lmdeploy).toEqual(tokens(70, 9, 64));
    const none = { input_tokens: 0, output_tokens: 0 };
    expect(stream("/v1/messages", start(none), delta(usage), stop)).toEqual(tokens(70, 9, 64));
    expect(stream("/v1/messages", start(first), stop)).toBeNull();
  });

  test("generate, rerank, embeddings", () => {
    const meta_info = { id: "x", prompt_tokens: 70, completion_tokens: 9, cached_tokens: 64 };
    expect(whole("/generate", { text: "a", meta_info })).toEqual(tokens(70, 9, 64));
    expect(stream("/generate", { meta_info: { prompt_tokens: 1 } }, { meta_info })).toEqual(
      tokens(70, 9, 64),
    );
    const results = Array.from({ length: 2_000 }, (_, index) => ({ index, relevance_score: 1 }));
    const usage = { prompt_tokens: 70, total_tokens: 70 };
    expect(whole("/v1/rerank", { model: "m", usage, results })).toEqual(tokens(70, null, null));
    expect(whole("/v1/embeddings", { data: results, usage })).toEqual(tokens(70, null, null));
  });

  test("nothing that counts no tokens", () => {
    for (const lie of [-1, 0.5, "9", null, 1e300, [], {}]) {
      expect(whole(CHAT, { usage: { prompt_tokens: lie } })).toBeNull();
    }
    for (const usage of [null, 7, "x", [OPENAI], {}]) expect(whole(CHAT, { usage })).toBeNull();
    for (const text of ["", "{", '{"usage', '{"usage":{"prompt_tokens":1', "no JSON", "[]"]) {
      expect(read(CHAT, text, "json")).toBeNull();
      expect(read(CHAT, text, "events")).toBeNull();
    }
  });
});

describe("what a model or a client writes", () => {
  const LIES = [
    '"usage":{"prompt_tokens":666}',
    '{"usage":{"prompt_tokens":666,"completion_tokens":1}}',
    ',"usage":{"prompt_tokens":666}}',
    '"},"usage":{"prompt_tokens":666}}\n\ndata: [DONE]\n\n',
    '\\","usage":{"prompt_tokens":666}}',
    '\\\\","meta_info":{"prompt_tokens":666}}',
  ];

  test.each(LIES)("as text is text: %j", (lie) => {
    expect(whole(CHAT, { choices: [{ message: { content: lie } }] })).toBeNull();
    expect(whole(CHAT, { usage: OPENAI, choices: [lie] })).toEqual(tokens(70, 9, 64));
    expect(stream(CHAT, { choices: [{ delta: { content: lie } }] })).toBeNull();
    expect(stream(CHAT, { choices: [], usage: OPENAI }, { choices: [lie] })).toEqual(
      tokens(70, 9, 64),
    );
    expect(whole("/generate", { text: lie })).toBeNull();
    expect(stream("/v1/messages", { delta: { text: lie } }, { type: "message_stop" })).toBeNull();
  });

  test("as JSON is nested deeper: a tool's input, before the figures or behind", () => {
    const input = { usage: { prompt_tokens: 666 } };
    const usage = { input_tokens: 70, output_tokens: 9 };
    const content = [{ type: "tool_use", input }];
    expect(whole("/v1/messages", { content, usage })).toEqual(tokens(70, 9, null));
    expect(whole("/v1/messages", { usage, content })).toEqual(tokens(70, 9, null));
    expect(whole("/v1/messages", { content })).toBeNull();
    const many = Array.from({ length: 400 }, () => ({ usage: { prompt_tokens: 666 } }));
    expect(whole("/v1/messages", { usage, content: many })).toEqual(tokens(70, 9, null));
  });
});

/** Strings and names that come near to what is looked for. */
const words = fc.oneof(
  fc.constantFrom("usage", "meta_info", '"usage":{"prompt_tokens":1}', "prompt_tokens", "\\", '"'),
  fc.string({ unit: "binary", maxLength: 12 }),
);
const figures = fc.oneof(
  fc.record({ prompt_tokens: fc.nat(), completion_tokens: fc.nat() }),
  fc.record({ input_tokens: fc.nat(), output_tokens: fc.constantFrom(0, 3, -3) }),
  fc.constantFrom(null, {}, [], "usage", 5),
);
const { anything } = fc.letrec<{ anything: unknown }>((tie) => ({
  anything: fc.oneof(
    { maxDepth: 4 },
    words,
    figures,
    fc.array(tie("anything"), { maxLength: 3 }),
    fc.dictionary(words, tie("anything"), { maxKeys: 4 }),
    fc.record({ usage: tie("anything"), text: words }),
  ),
}));
const answers = fc
  .tuple(fc.dictionary(words, anything, { maxKeys: 5 }), fc.nat(2))
  .map(([answer, indent]): Record<string, unknown> & { text: string } => {
    return { ...answer, text: JSON.stringify(answer, null, indent) };
  });

/** What a whole parse gives. */
function expected(usage: unknown): Usage | null {
  return usage !== null && typeof usage === "object" && !Array.isArray(usage)
    ? whole(CHAT, { usage })
    : null;
}

test("the same as a parse of the whole, whatever stands around it (property)", () => {
  fc.assert(
    fc.property(answers, fc.integer({ min: 1, max: 60 }), ({ text }, size) => {
      fc.pre(text.length < ENDING_BYTES);
      const parsed: { usage?: unknown } = JSON.parse(text);
      expect(read(CHAT, text, "json", size)).toEqual(expected(parsed.usage));
    }),
    runs(2_000),
  );
});

test("of a stream, the last event that says something, if it is of the last three (property)", () => {
  const events = fc.array(fc.dictionary(words, anything, { maxKeys: 4 }), { maxLength: 6 });
  const ends = fc.constantFrom("\n\n", "\r\n\r\n", "\r\r");
  fc.assert(
    fc.property(events, ends, fc.integer({ min: 1, max: 60 }), (list, end, size) => {
      const text = list.map((event) => `data: ${JSON.stringify(event)}${end}`).join("");
      fc.pre(text.length < ENDING_BYTES);
      const last = list.findLastIndex(({ usage }) => isObject(usage));
      const found = read(CHAT, text, "events", size);
      // An earlier one may have been kept, too.
      if (last >= list.length - 3 || found !== null) {
        expect(found).toEqual(expected(list[last]?.usage));
      }
    }),
    runs(2_000),
  );
});

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

test("of any bytes whatever, in any pieces, nothing is thrown, and the end is kept (property)", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 3 * ENDING_BYTES }),
    fc.array(words, { maxLength: 30 }).map((list) => bytesOf(`{${list.join('":{"')}}}`)),
  );
  const sizes = fc.array(fc.integer({ min: 1, max: 2 * ENDING_BYTES }), { minLength: 1 });
  fc.assert(
    fc.property(bytes, sizes, fc.constantFrom("json", "events"), (all, cuts, form) => {
      const ending = new Ending(form === "events");
      let at = 0;
      for (let i = 0; at < all.length; i += 1) {
        const size = cuts[i % cuts.length] ?? 1;
        ending.push(all.subarray(at, at + size));
        at += size;
      }
      const { bytes } = ending;
      expect(Buffer.compare(bytes, all.slice(all.length - bytes.length))).toBe(0);
      usageOf(form, "/v1/messages", all, ending.bytes);
    }),
    runs(300),
  );
});

test("objects by the name within each other, that do not end or cannot be read, are not all read", () => {
  const bytes = bytesOf('{"usage":'.repeat(2_000));
  let reads = 0;
  const counted = new Proxy(bytes, {
    get(of, key) {
      reads += 1;
      const value: unknown = Reflect.get(of, key, of);
      return typeof value === "function" ? value.bind(of) : value;
    },
  });
  expect(usageOf("json", CHAT, counted, counted)).toBeNull();
  expect(reads).toBeLessThan(50 * bytes.length);
});
