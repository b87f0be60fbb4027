import { describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import { scanRequestHead } from "../../src/core/body/request-head.ts";
import { decodeBody, prefillBody, refuseSeveral } from "../../src/distserve/bodies.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function prefilled(text: string): string {
  const body = encoder.encode(text);
  return decoder.decode(prefillBody(body, scanRequestHead(body)));
}

function decoded(text: string, migration: string): string {
  const body = encoder.encode(text);
  return decoder.decode(decodeBody(body, scanRequestHead(body), migration));
}

/** Any body a client may send: known fields with any value, others, numbers no double can hold. */
const bodies = fc
  .array(
    fc.tuple(
      fc.oneof(
        fc.constantFrom(
          "max_tokens",
          "stream_options",
          "session_id",
          "min_new_tokens",
          "n",
          "prompt",
        ),
        fc.string().filter((key) => !["model", "stream", "__proto__"].includes(key)),
      ),
      fc.oneof(fc.json(), fc.constant("12345678901234567890.5"), fc.constant('"\\ud83d"')),
    ),
    { maxLength: 8 },
  )
  .map(
    (members) => `{${members.map(([key, json]) => `${JSON.stringify(key)}:${json}`).join(", ")}}`,
  );

test("a prefill makes one token that is not streamed, and keeps its cache", () => {
  fc.assert(
    fc.property(bodies, (text) => {
      const client: Record<string, unknown> = JSON.parse(text);
      const { stream_options: _1, session_id: _2, ...rest } = client;
      const expected: Record<string, unknown> = {
        ...rest,
        stream: false,
        max_tokens: 1,
        max_completion_tokens: 1,
        with_cache: true,
        preserve_cache: true,
      };
      const atLeast = client.min_new_tokens;
      const isNumber = typeof atLeast === "number" || typeof atLeast === "string";
      if (isNumber && Number(atLeast) > 1) expected.min_new_tokens = 1;
      expect(JSON.parse(prefilled(text))).toEqual(expected);
    }),
  );
});

test("a decode request is the client's, with one more field", () => {
  fc.assert(
    fc.property(bodies, (text) => {
      const migration = '{"remote_session_id":18446744073709551615}';
      const sent = decoded(text, migration);
      const added = `"migration_request":${migration}}`;
      expect(sent.endsWith(added)).toBe(true);
      expect(`${sent.slice(0, -added.length).replace(/,$/, "")}}`).toBe(text);
    }),
  );
});

test.each([
  ["8", 1],
  ["1", 1],
  ["0", 0],
  ['"8"', 1],
  ["null", null],
  ['"many"', "many"],
])("min_new_tokens %s becomes %p", (given, sent) => {
  const { min_new_tokens } = JSON.parse(prefilled(`{"min_new_tokens":${given}}`));
  expect(min_new_tokens).toBe(sent);
});

test("what is no number is the engine's to refuse, also an object that cannot be made one", () => {
  const text = '{"min_new_tokens": {"toString": ""}, "n": {"valueOf": 1, "toString": 1}}';
  expect(JSON.parse(prefilled(text)).min_new_tokens).toEqual({ toString: "" });
  const body = encoder.encode(text);
  expect(() => refuseSeveral(body, scanRequestHead(body))).not.toThrow();
});

describe("what cannot be handed over is refused", () => {
  const check = (text: string) => () => {
    const body = encoder.encode(text);
    refuseSeveral(body, scanRequestHead(body));
  };

  test.each([
    ['{"n": 2}', "n"],
    ['{"n": "2"}', "n"],
    ['{"n": 1, "n": 2.0}', "n"],
    ['{"prompt": ["a", "b"]}', "prompt"],
    ['{"prompt": [[1, 2], [3]]}', "prompt"],
    ['{"prompt": [{"a": [1]}, "b"]}', "prompt"],
    [`{"prompt": [${" ".repeat(100)}"a", [1]]}`, "prompt"],
  ])("%s", (text, param) => {
    expect(check(text)).toThrow(
      expect.objectContaining({ kind: "invalid_request", options: { param } }),
    );
  });

  test.each([
    '{"n": 1}',
    '{"n": null}',
    '{"prompt": "a"}',
    '{"prompt": [1, 2]}',
    '{"prompt": []}',
    '{"prompt": ["a"]}',
    '{"prompt": [[1, 2]]}',
    "{}",
    `{"prompt": [ "a\\"," ]}`,
    '{"prompt": [{"a": [1]}\n]}',
  ])("not %s", (text) => {
    expect(check(text)).not.toThrow();
  });

  test("without a look into what is nested, which may be as large as a body", () => {
    const nested = `[{}${",{}".repeat(100)}]`;
    const parse = spyOn(JSON, "parse");
    check(`{"n": ${nested}}`)();
    check(`{"prompt": [${nested}]}`)();
    expect(check(`{"prompt": ${nested}}`)).toThrow("one prompt");
    prefilled(`{"min_new_tokens": ${nested}}`);
    expect(parse).not.toHaveBeenCalled();
    parse.mockRestore();
  });
});
