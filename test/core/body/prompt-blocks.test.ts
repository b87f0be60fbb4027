import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { promptBlocks } from "../../../src/core/body/prompt-blocks.ts";
import { scanRequestHead } from "../../../src/core/body/request-head.ts";
import { sessionKey } from "../../../src/core/body/session-key.ts";
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

test("blocks cover the prompt in order, and grow with it: a MiB has less than 200", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200_000 }), (length) => {
      const { promptBytes, blocks, blockEnds } = read({ prompt: "x".repeat(length) });
      expect(promptBytes).toBe(length + 2);
      expect(blocks.length).toBe(blockEnds.length);
      expect(blockEnds.every((end, i) => end - (blockEnds[i - 1] ?? 0) >= 256)).toBe(true);
      const rest = promptBytes - (blockEnds.at(-1) ?? 0);
      expect(rest).toBeWithin(0, Math.max(256, promptBytes / 32) + 1);
    }),
    runs(50),
  );
  expect(read({ prompt: "x".repeat(2 ** 20) }).blocks.length).toBeLessThan(200);
});

describe("the key of a session", () => {
  const key = (headers: Record<string, string>, body: object) => {
    const bytes = encoder.encode(JSON.stringify(body));
    return sessionKey(new Headers(headers), bytes, scanRequestHead(bytes), hash);
  };
  const named = (name: string) => hash(encoder.encode(name), 0);

  test.each([
    ["the session's header", { "x-user-id": "u", "x-session-id": "s" }, { user: "b" }, "s"],
    ["the user's", { "x-tenant-id": "t", "x-user-id": "u" }, { user: "b" }, "u"],
    ["an empty one is none", { "x-session-id": " ", "x-tenant-id": "t" }, {}, "t"],
    ["the body's session", {}, { user: "b", session_params: { session_id: "p" } }, "p"],
    ["the body's user", {}, { user: "b", session_id: "s" }, "b"],
    ["the body's session id", {}, { user: "", session_id: "s" }, "s"],
  ])("%s", (_what, headers, body, name) => {
    expect(key(headers, { ...body, prompt: "p" })).toBe(named(name));
  });

  test("else how the prompt begins, else none", () => {
    expect(key({}, { prompt: `${TEXT}a` })).toBe(key({}, { prompt: `${TEXT}b` }) ?? -1);
    expect(key({}, { prompt: "a" })).not.toBe(key({}, { prompt: "b" }) ?? -1);
    expect(key({}, { model: "m" })).toBeNull();
  });
});
