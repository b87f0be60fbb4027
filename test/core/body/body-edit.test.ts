import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { stripMembers, withMembers } from "../../../src/core/body/body-edit.ts";
import { CONTROL_PLANE_FIELDS, scanRequestHead } from "../../../src/core/body/request-head.ts";
import { runs } from "../fuzz.ts";
import { bytesOf, objectText, textOf } from "./json-text.ts";

function strip(text: string, names: readonly string[] = CONTROL_PLANE_FIELDS): string {
  const body = bytesOf(text);
  return textOf(stripMembers(body, scanRequestHead(body), names));
}

function replace(
  text: string,
  remove: readonly string[],
  add: readonly (readonly [string, string])[],
): string {
  const body = bytesOf(text);
  return textOf(withMembers(body, scanRequestHead(body), remove, add));
}

describe("stripMembers", () => {
  test("hands back the very same bytes when there is nothing to strip", () => {
    const body = bytesOf('{"model":"m","x":{"with_cache":true}}');
    expect(stripMembers(body, scanRequestHead(body), CONTROL_PLANE_FIELDS)).toBe(body);
  });

  test.each([
    ['{"with_cache":true}', "{}"],
    ['{ "with_cache":true }', "{  }"],
    ['{"with_cache":true, "a":1}', '{"a":1}'],
    ['{"a":1, "with_cache":true}', '{"a":1}'],
    ['{"a":1 ,"with_cache":true,"b":2}', '{"a":1 ,"b":2}'],
    ['{"with_cache":1,"a":1,"preserve_cache":2,"migration_request":{"a":[1]}}', '{"a":1}'],
    ['{"with_cache":1,"with_cache":2,"a":1,"with_cach\\u0065":3,"b":2}', '{"a":1,"b":2}'],
    ['{"seed":12345678901234567890,"with_cache":1}\n', '{"seed":12345678901234567890}\n'],
    ['\ufeff{"with_cache":1, "é":"\\u00e9"}', '{"é":"\\u00e9"}'],
  ])("%s", (before, after) => {
    expect(strip(before)).toBe(after);
  });

  test("keeps a byte order mark", () => {
    const body = bytesOf('\ufeff{"with_cache":1,"a":1}');
    const stripped = stripMembers(body, scanRequestHead(body), CONTROL_PLANE_FIELDS);
    expect([...stripped]).toEqual([...bytesOf('\ufeff{"a":1}')]);
  });
});

describe("withMembers", () => {
  test.each([
    ["{}", '{"k":[1]}'],
    ["{ }", '{ "k":[1]}'],
    ['{"a":1 }', '{"a":1 ,"k":[1]}'],
    ['{"gone":1}', '{"k":[1]}'],
    ['{"k":0,"a":1,"gone":{},"k":2}', '{"a":1,"k":[1]}'],
  ])("%s", (before, after) => {
    expect(replace(before, ["gone"], [["k", "[1]"]])).toBe(after);
  });

  test("several at once, and none", () => {
    const add = [
      ["max_tokens", "1"],
      ["with_cache", "true"],
    ] as const;
    expect(replace('{"max_tokens":9,"p":1.0}', [], add)).toBe(
      '{"p":1.0,"max_tokens":1,"with_cache":true}',
    );
    expect(replace('{"a":1,"b":2}', ["a"], [])).toBe('{"b":2}');
  });
});

test("an edited body reads as the edit of what was read (property)", () => {
  const names = fc.subarray(["a", "b", "n", "with_cache", "migration_request", "model"]);
  const added = fc.uniqueArray(fc.tuple(fc.constantFrom("a", "n", "k"), fc.jsonValue()), {
    selector: ([key]) => key,
  });
  fc.assert(
    fc.property(objectText, names, added, (text, remove, add) => {
      const expected: Record<string, unknown> = JSON.parse(text);
      for (const name of remove) delete expected[name];
      expect(JSON.parse(strip(text, remove))).toEqual(expected);

      for (const [key, value] of add) expected[key] = JSON.parse(JSON.stringify(value));
      const json = add.map(([key, value]) => [key, JSON.stringify(value)] as const);
      const edited = replace(text, remove, json);
      expect(JSON.parse(edited)).toEqual(expected);
      for (const [key, value] of json) {
        expect(edited.split(`${JSON.stringify(key)}:${value}`).length).toBeGreaterThan(1);
      }
    }),
    runs(1000),
  );
});
