import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { promptBlocks } from "../../../src/core/body/prompt-blocks.ts";
import { scanRequestHead } from "../../../src/core/body/request-head.ts";
import { sessionKey, sessionOf } from "../../../src/core/body/session-key.ts";
import { hash } from "../../../src/proxy/routing.ts";
import { runs } from "../fuzz.ts";

const encoder = new TextEncoder();

function read(body: object) {
  const bytes = encoder.encode(JSON.stringify(body));
  return promptBlocks(bytes, scanRequestHead(bytes), hash);
}

/** How many blocks the two have in common, from the first on. */
function common(one: object, other: object): number {
  const [a, b] = [read(one).blocks, read(other).blocks];
  let count = 0;
  while (count < a.length && a[count] === b[count]) count += 1;
  return count;
}

const TEXT =
  "All happy families are alike; every unhappy family is unhappy in its own way. ".repeat(40);

test.each([
  ["messages", (text: string) => ({ messages: [{ role: "user", content: text }] })],
  ["prompt", (text: string) => ({ prompt: text })],
  ["input", (text: string) => ({ input: text })],
  ["input_ids", (text: string) => ({ input_ids: [...encoder.encode(text)] })],
  ["text", (text: string) => ({ text })],
])("%s: prompts that begin alike share what they share, and no more", (_name, make) => {
  const [short, long] = [make(TEXT), make(`${TEXT}And more of it. ${TEXT}`)];
  const all = read({ model: "m", ...short }).blocks.length;
  expect(all).toBeGreaterThan(5);
  expect(common({ model: "m", ...short }, { model: "m", ...long })).toBeGreaterThanOrEqual(all - 1);
  expect(common({ model: "m", ...make(`X${TEXT}`) }, { model: "m", ...short })).toBe(0);
});

describe("what else makes prompts different", () => {
  const body = { model: "m", messages: [{ role: "user", content: TEXT }] };
  test.each([
    ["the model", { ...body, model: "adapter" }],
    ["an adapter", { ...body, lora_path: "a" }],
    ["a cache of one's own", { ...body, cache_salt: "s" }],
    ["tools, which stand before the messages wherever they are", { ...body, tools: [{ a: TEXT }] }],
    ["a system prompt beside the messages", { ...body, system: TEXT }],
  ])("%s", (_what, other) => {
    expect(common(body, other)).toBe(0);
  });

  test("but not how long the answer may be, nor where the member stands", () => {
    const other = { temperature: 1, messages: body.messages, max_tokens: 5, model: "m" };
    expect(common(body, other)).toBe(read(body).blocks.length);
  });
});

describe("what stands before the messages is the same to its last byte, or they share nothing", () => {
  const messages = [{ role: "user", content: TEXT }];
  test.each([
    ["a short system prompt", { system: "You are Ann." }, { system: "You are Ben." }],
    ["the time at its end", { system: `${TEXT}It is 12:00.` }, { system: `${TEXT}It is 12:01.` }],
    ["instructions", { instructions: "Be brief." }, { instructions: "Be exact." }],
    ["the last tool", { tools: [{ a: TEXT }, { b: 1 }] }, { tools: [{ a: TEXT }, { c: 1 }] }],
  ])("%s", (_what, one, other) => {
    const before = read(one).blocks.length;
    expect(common({ ...one, messages }, { ...other, messages })).toBe(before);
    const all = read({ ...one, messages }).blocks.length;
    expect(all).toBeGreaterThan(before);
    expect(common({ ...one, messages }, { ...one, messages, max_tokens: 1 })).toBe(all);
  });
});

test("blocks cover the prompt in order, and grow with it: a MiB has less than 200", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200_000 }), (length) => {
      const { promptBytes, blocks, blockEnds } = read({
        prompt: "x ".repeat(length).slice(0, length),
      });
      expect(promptBytes).toBe(length + 2);
      expect(blocks.length).toBe(blockEnds.length);
      expect(blockEnds.every((end, i) => end - (blockEnds[i - 1] ?? 0) >= 256)).toBe(true);
      const rest = promptBytes - (blockEnds.at(-1) ?? 0);
      expect(rest).toBeWithin(0, Math.max(256, promptBytes / 32) + 1);
    }),
    runs(50),
  );
  expect(read({ prompt: "x ".repeat(2 ** 19) }).blocks.length).toBeLessThan(200);
});

describe("a picture in base64 counts by what it costs beside text", () => {
  const picture = Buffer.from(
    Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7_919 + (i >> 3)) % 256),
  ).toString("base64");
  const url = `data:image/png;base64,${picture}`;
  const image = { type: "image_url", image_url: { url } };
  const source = { type: "base64", media_type: "image/png", data: picture };
  const text = { type: "text", text: TEXT };

  test.each([
    ["OpenAI's", image],
    ["Anthropic's", { type: "image", source }],
    ["sound", { type: "input_audio", input_audio: { data: picture, format: "wav" } }],
  ])("%s", (_name, part) => {
    const of = (content: object[]) => read({ messages: [{ role: "user", content }] });
    const [bare, shown] = [of([text]), of([text, part])];
    // Some 5 KB, and where it begins and ends within a block.
    expect(shown.promptBytes - bare.promptBytes).toBeWithin(3_000, 25_000);
    expect(shown.blockEnds.at(-1)).toBeLessThanOrEqual(shown.promptBytes);
    for (const [i, end] of shown.blockEnds.entries()) {
      expect(end).toBeGreaterThan(shown.blockEnds[i - 1] ?? 0);
    }
    // What is behind it depends on all of it.
    const other = JSON.parse(
      JSON.stringify(part).replace(picture.slice(200_000, 200_008), "AAAAAAAA"),
    );
    const [a, b] = [of([text, part]).blocks, of([text, other]).blocks];
    expect(a.length).toBe(b.length);
    expect(a.at(-1)).not.toBe(b.at(-1));
  });

  test("prose, code and numbers count by the byte", () => {
    for (const content of [
      TEXT.repeat(10),
      JSON.stringify([...picture.slice(0, 9_000)]),
      "汉字".repeat(9_000),
    ]) {
      const body = encoder.encode(JSON.stringify({ prompt: content }));
      const { promptBytes } = promptBlocks(body, scanRequestHead(body), hash);
      expect(promptBytes).toBe(body.length - '{"prompt":}'.length);
    }
  });
});

describe("the key of a session", () => {
  const key = (headers: Record<string, string>, body: object) => {
    const bytes = encoder.encode(JSON.stringify(body));
    const read = { headers: new Headers(headers), body: bytes, head: scanRequestHead(bytes) };
    return sessionKey(read, [], hash);
  };
  const named = (name: string) => hash(encoder.encode(name), 0);

  test.each([
    ["the session's header", { "x-user-id": "u", "x-session-id": "s" }, { user: "b" }, "s"],
    ["the user's", { "x-tenant-id": "t", "x-user-id": "u" }, { user: "b" }, "u"],
    ["an empty one is none", { "x-session-id": " ", "x-tenant-id": "t" }, {}, "t"],
    ["the body's session", {}, { user: "b", session_params: { session_id: "p" } }, "p"],
    ["SGLang's", { "x-user-id": "u" }, { session_params: { id: "p", rid: "r" } }, "p"],
    ["the body's user", {}, { user: "b" }, "b"],
    ["LMDeploy's number for none", {}, { session_id: -1, user: "b" }, "b"],
    ["LMDeploy's session", {}, { session_id: 7, user: "b" }, "7"],
    ["the body's session id", {}, { user: "b", session_id: "s" }, "s"],
    ["what agents name a cache by", {}, { user: "b", prompt_cache_key: "c" }, "c"],
    ["opencode's", { "x-session-affinity": "o" }, { prompt_cache_key: "c" }, "o"],
    ["Claude Code's", { "x-claude-code-session-id": "cc" }, {}, "cc"],
    ["Codex's", { "session-id": "a", "thread-id": "b" }, {}, "a"],
    ["Codex's of a thread alone", { "thread-id": "b" }, {}, "b"],
    ["an old Codex's", { session_id: "a" }, {}, "a"],
    ["SGLang's router's", { "x-smg-routing-key": "r", "x-session-affinity": "o" }, {}, "r"],
  ])("%s", (_what, headers, body, name) => {
    expect(key(headers, { ...body, prompt: "p" })).toBe(named(name));
  });

  test("else how the prompt begins, else none", () => {
    expect(key({}, { prompt: `${TEXT}a` })).toBe(key({}, { prompt: `${TEXT}b` }) ?? -1);
    expect(key({}, { prompt: "a" })).not.toBe(key({}, { prompt: "b" }) ?? -1);
    expect(key({}, { model: "m" })).toBeNull();
  });
});

describe("the session that stays on a node", () => {
  const of = (headers: Record<string, string>, value: object, first: readonly string[] = []) => {
    const body = encoder.encode(JSON.stringify(value));
    return sessionOf(
      { headers: new Headers(headers), body, head: scanRequestHead(body) },
      first,
      hash,
    );
  };

  test("is named by a request, and neither by a user nor by a prompt", () => {
    expect(of({ "x-session-id": "s" }, { model: "m" })?.id).toBe(hash(encoder.encode("s"), 0));
    expect(of({ "x-session-id": "" }, { user: "u", prompt: TEXT })).toBeNull();
    expect(of({ "x-user-id": "u" }, { prompt: TEXT })).toBeNull();
  });

  test("is one for each model", () => {
    const [one, other] = [
      of({ "x-session-id": "s" }, { model: "a" }),
      of({}, { session_id: "s", model: "b" }),
    ];
    expect(one?.id).toBe(other?.id ?? -1);
    expect(one?.model).not.toBe(other?.model ?? -1);
  });

  test("has headers of the user's choice first", () => {
    const headers = { "x-session-id": "s", "x-chat": "c" };
    expect(of(headers, {}, ["X-Chat"])?.id).toBe(hash(encoder.encode("c"), 0));
    expect(of({ ...headers, "x-chat": " " }, {}, ["X-Chat"])?.id).toBe(
      hash(encoder.encode("s"), 0),
    );
  });

  test("reads any header and body without falling", () => {
    const anyBody = fc.dictionary(
      fc.constantFrom("session_params", "session_id", "prompt_cache_key", "user", "model2"),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(anyBody, fc.string(), (body, name) => {
        const named = of({ "x-session-id": encodeURIComponent(name) }, body);
        expect(named === null || Number.isInteger(named.id)).toBe(true);
        if (name.trim() !== "") expect(named).not.toBeNull();
      }),
      runs(200),
    );
  });
});
