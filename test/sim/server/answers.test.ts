/** What answers say: the same again where it has to be, and held to what was asked for. */
import { describe, expect, test } from "bun:test";
import Ajv from "ajv/dist/2020.js";
import fc from "fast-check";
import OpenAI from "openai";
import type { EngineKind } from "../../../src/core/engine/kinds.ts";
import { regexSample } from "../../../src/sim/server/regex-sample.ts";
import { schemaSample } from "../../../src/sim/server/schema-sample.ts";
import { engineStarter, HI, post } from "./running.ts";

const start = engineStarter();
const CHAT = "/v1/chat/completions";

async function json(answer: Promise<Response>) {
  const body: unknown = await (await answer).json();
  return Object(body);
}

test("at temperature 0 the same prompt has the same answer, length and all, on every engine", async () => {
  const texts = new Set<string>();
  for (const seed of [1, 2, 3]) {
    const engine = await start({ seed });
    for (let i = 0; i < 3; i += 1) {
      const body = { messages: HI, temperature: 0 };
      const { choices } = await json(post(engine.url + CHAT, body));
      texts.add(choices[0].message.content);
    }
  }
  expect(texts.size).toBe(1);
  const engine = await start();
  const asked = Array.from({ length: 8 }, () =>
    json(post(engine.url + CHAT, { messages: HI, temperature: 1 })),
  );
  const others = (await Promise.all(asked)).map(({ choices }) => choices[0].message.content);
  expect(new Set(others).size).toBeGreaterThan(1);
});

test("answers that end by themselves are whole sentences; tricky ones hold every kind of byte", async () => {
  const engine = await start();
  for (let i = 0; i < 20; i += 1) {
    const { text } = await json(post(`${engine.url}/generate`, { prompt: `${i}` }));
    expect(text).toMatch(/^[A-Z][ -~]+\.$/);
  }
  const tricky = await start({ voice: "tricky", answerTokens: { min: 64, max: 64 } });
  const { text } = await json(post(`${tricky.url}/generate`, { prompt: "x" }));
  expect(text).toMatch(/naïve.*🙂|🙂.*naïve/);
});

test("token ids and log probabilities come when they are asked for, one a token, streamed and not", async () => {
  const engine = await start();
  const body = {
    messages: HI,
    temperature: 0,
    max_tokens: 5,
    return_token_ids: true,
    logprobs: true,
    top_logprobs: 3,
    return_logprob: true,
  };
  const [whole] = (await json(post(engine.url + CHAT, body))).choices;
  expect(whole.output_ids).toHaveLength(5);
  expect(whole.output_token_logprobs.map(([, id]: number[]) => id)).toEqual(whole.output_ids);
  const content: readonly { token: string; logprob: number; top_logprobs: unknown[] }[] =
    whole.logprobs.content;
  expect(content.map(({ token }) => token).join("")).toBe(whole.message.content);
  expect(
    content.every(({ logprob, top_logprobs }) => logprob <= 0 && top_logprobs.length === 3),
  ).toBe(true);
  const streamed = await (await post(engine.url + CHAT, { ...body, stream: true })).text();
  const ids = [...streamed.matchAll(/"output_ids": \[(\d*)\]/g)].map(([, id]) => id);
  expect(ids).toEqual([...whole.output_ids.map(String), ""]);
  const generated = await json(
    post(`${engine.url}/generate`, { prompt: "x", max_tokens: 4, return_logprob: true }),
  );
  expect(generated.output_ids).toHaveLength(4);
  expect(generated.meta_info.output_token_logprobs).toHaveLength(4);
});

test("usage tells of prompt tokens that the prefix cache had", async () => {
  const engine = await start();
  const messages = [{ role: "user", content: "x".repeat(64 * 4 * 3) }];
  const cached = async () => {
    const { usage } = await json(post(engine.url + CHAT, { messages }));
    return usage.prompt_tokens_details.cached_tokens;
  };
  expect([await cached(), await cached()]).toEqual([0, 192]);
});

test("an answer ends before a stop word, or behind it if it is to be kept", async () => {
  const engine = await start();
  const ask = async (more: object) => {
    const body = { messages: HI, temperature: 0, max_tokens: 20, ignore_eos: true, ...more };
    const [choice] = (await json(post(engine.url + CHAT, body))).choices;
    return { text: choice.message.content, reason: choice.finish_reason };
  };
  const { text } = await ask({});
  const stop = text.slice(30, 36);
  const at = text.indexOf(stop);
  expect(await ask({ stop })).toEqual({ text: text.slice(0, at), reason: "stop" });
  expect(await ask({ stop: ["no such", stop], include_stop_str_in_output: true })).toEqual({
    text: text.slice(0, at + stop.length),
    reason: "stop",
  });
  expect((await ask({ stop: ["no such"] })).reason).toBe("length");
});

const PERSON = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 12, maxLength: 14 },
    age: { type: "integer", minimum: 18, exclusiveMaximum: 130 },
    mood: { enum: ["calm", "hurried"] },
    mail: { type: "string", format: "email" },
    code: { type: "string", pattern: "^[A-Z]{3}-\\d+(?:\\.[a-f]?)?$" },
    friend: { anyOf: [{ $ref: "#" }, { type: "null" }] },
    tags: { type: "array", items: { $ref: "#/$defs/tag" }, minItems: 2 },
  },
  required: ["name", "age", "mood", "mail", "code", "friend", "tags"],
  additionalProperties: false,
  $defs: { tag: { type: ["string", "null"], const: "x" } },
};

describe("structured outputs", () => {
  const fits = new Ajv({ strict: false, validateFormats: false }).compile(PERSON);

  test.each(["lmdeploy", "vllm"] as const)(
    "are obeyed for the OpenAI client by %s",
    async (kind) => {
      const engine = await start({ kind });
      const client = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: "none", maxRetries: 0 });
      const response_format = {
        type: "json_schema" as const,
        json_schema: { name: "person", strict: true, schema: PERSON },
      };
      const asked = { model: "tiny", messages: HI, response_format };
      const parsed = await client.chat.completions.parse(asked);
      expect(fits(JSON.parse(parsed.choices[0]?.message.content ?? ""))).toBe(true);
      const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
      expect(fits(JSON.parse(streamed.choices[0]?.message.content ?? ""))).toBe(true);
      const format = { type: "json_schema" as const, name: "person", schema: PERSON };
      const text = { format };
      const answered = await client.responses.create({ model: "tiny", input: "hi", text });
      expect(fits(JSON.parse(answered.output_text))).toBe(true);
      const told = await client.responses
        .stream({ model: "tiny", input: "hi", text })
        .finalResponse();
      expect(fits(JSON.parse(told.output_text))).toBe(true);
      const object = await client.chat.completions.create({
        model: "tiny",
        messages: HI,
        response_format: { type: "json_object" },
      });
      expect(JSON.parse(object.choices[0]?.message.content ?? "")).toEqual({
        answer: expect.any(String),
      });
    },
  );

  const others: readonly (readonly [EngineKind, object, RegExp])[] = [
    [
      "lmdeploy",
      { response_format: { type: "regex_schema", regex_schema: "call me [A-Za-z]{1,10}" } },
      /^call me [A-Za-z]{1,10}$/,
    ],
    ["vllm", { guided_choice: ["yes", "no"] }, /^(yes|no)$/],
    ["vllm", { structured_outputs: { regex: "\\d{4}-\\d{2}" } }, /^\d{4}-\d{2}$/],
    ["vllm", { guided_json: { type: "boolean" } }, /^true$/],
    ["sglang", { regex: "(Paris|London)" }, /^(Paris|London)$/],
    ["sglang", { json_schema: '{"type":"integer"}' }, /^\d+$/],
  ];

  test.each(others)("in the words of %s: %j", async (kind, asked, pattern) => {
    const engine = await start({ kind });
    const { choices } = await json(post(engine.url + CHAT, { messages: HI, ...asked }));
    expect(choices[0].message.content).toMatch(pattern);
  });

  test("in Anthropic's words, where they are understood", async () => {
    const engine = await start({ kind: "vllm" });
    const output_config = { format: { type: "json_schema", schema: PERSON } };
    const body = { messages: HI, max_tokens: 500, output_config };
    const { content } = await json(post(`${engine.url}/v1/messages`, body));
    expect(fits(JSON.parse(content[0].text))).toBe(true);
  });

  test("fit the schema that stands in the prompt, as JSON mode's do", async () => {
    const engine = await start();
    const schema = JSON.stringify(PERSON, null, 2);
    const content = `Like {"name": "x"}, in JSON that fits this schema:\n${schema}\nand not {this}.`;
    const messages = [{ role: "system", content }, ...HI];
    const asked = { messages, response_format: { type: "json_object" } };
    const { choices } = await json(post(engine.url + CHAT, asked));
    expect(fits(JSON.parse(choices[0].message.content))).toBe(true);
  });

  test("end early like any other answer", async () => {
    const engine = await start();
    const response_format = { type: "json_schema", json_schema: { name: "p", schema: PERSON } };
    const body = { messages: HI, response_format, max_tokens: 2 };
    expect((await json(post(engine.url + CHAT, body))).choices[0].finish_reason).toBe("length");
  });
});

test("samples fit what they are samples of", () => {
  const patterns = [
    "a{2,3}",
    "[^abc]+x?",
    "(?:ab|c)*d",
    "\\w\\s\\d.",
    "^(?<year>\\d{4})$",
    "\\[x\\]",
  ];
  for (const pattern of patterns) {
    expect(regexSample(pattern)).toMatch(new RegExp(`^(?:${pattern})$`));
  }
  fc.assert(fc.property(fc.string({ maxLength: 30 }), (text) => void regexSample(text)));
  const leaf = fc.constantFrom<object>(
    { type: "string", maxLength: 3 },
    { type: "number", minimum: 7 },
    { type: "integer", multipleOf: 4, exclusiveMinimum: 9 },
    { type: "boolean" },
    { type: "null" },
    { const: 5 },
    { enum: ["a", 1] },
  );
  const { schema } = fc.letrec<{ schema: object }>((tie) => ({
    schema: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.record({ type: fc.constant("array"), items: tie("schema"), minItems: fc.nat(3) }),
      fc
        .dictionary(fc.string({ minLength: 1 }), tie("schema"), { maxKeys: 4 })
        .map((properties) => {
          return { type: "object", properties, required: Object.keys(properties) };
        }),
      fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    ),
  }));
  const ajv = new Ajv({ strict: false });
  fc.assert(
    fc.property(schema, (one) => {
      expect(ajv.validate(one, schemaSample(one))).toBe(true);
    }),
  );
});

test.each(["vllm", "sglang"] as const)(
  "%s echoes a prompt and goes on for min_tokens",
  async (kind) => {
    const engine = await start({ kind, answerTokens: { min: 1, max: 2 } });
    const asked = { prompt: ["One ", "Two "], echo: true, min_tokens: 9, n: 2 };
    const { choices, usage } = await json(post(`${engine.url}/v1/completions`, asked));
    const starts = choices.map(({ text }: { text: string }) => text.slice(0, 4));
    expect(starts).toEqual(["One ", "One ", "Two ", "Two "]);
    expect(usage.completion_tokens).toBeGreaterThanOrEqual(36);
    const streamed = await post(`${engine.url}/v1/completions`, { ...asked, stream: true });
    expect((await streamed.text()).match(/"text":"(One|Two) /g)).toHaveLength(4);
  },
);

test.each([
  ["vllm", "stop_sequence", true],
  ["llamacpp", "end_turn", true],
  ["lmdeploy", "end_turn", false],
] as const)("%s says %s to Anthropic's clients of a stop sequence", async (kind, why, isNamed) => {
  const engine = await start({ kind });
  const headers = { "anthropic-version": "2023-06-01" };
  const ask = (more: object) => {
    const body = { max_tokens: 30, messages: HI, temperature: 0, ...more };
    return json(post(`${engine.url}/v1/messages`, body, { headers }));
  };
  const word = (await ask({})).content[0].text.split(" ")[2];
  const { stop_reason, stop_sequence } = await ask({ stop_sequences: [word, "no such"] });
  expect([stop_reason, stop_sequence]).toEqual([why, isNamed ? word : null]);
});

test.each(["vllm", "sglang", "llamacpp"] as const)(
  "%s takes no notice of a session's name",
  async (kind) => {
    const engine = await start({ kind });
    for (const [path, body] of [
      [CHAT, { messages: HI }],
      ["/v1/completions", { prompt: "x" }],
    ] as const) {
      const answer = await post(engine.url + path, {
        ...body,
        session_id: "a name",
        max_tokens: 1,
      });
      expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining("usage")]);
    }
  },
);
