/** Random JSON objects as text, with all that a strict writer would never produce but may be sent. */
import fc from "fast-check";

const encoder = new TextEncoder();

export const bytesOf = (text: string): Uint8Array => encoder.encode(text);
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const space = fc.string({ unit: fc.constantFrom(" ", "\n", "\r", "\t"), maxLength: 3 });

/** A string in quotes, its characters written plainly or escaped at random. */
function quoted(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(text, fc.infiniteStream(fc.boolean())).map(([value, isEscaped]) => {
    const units = [...value].map((character) => {
      if (isEscaped.next().value !== true) return JSON.stringify(character).slice(1, -1);
      return [...Array(character.length).keys()]
        .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`)
        .join("");
    });
    return `"${units.join("")}"`;
  });
}

const WATCHED = new Set(["model", "stream", "__proto__"]);

const key = quoted(
  fc.oneof(
    fc.constantFrom("a", "b", "n", "with_cache", "preserve_cache", "migration_request", "models"),
    fc.string({ unit: "binary", maxLength: 8 }).filter((name) => !WATCHED.has(name)),
  ),
);

const value = fc.oneof(
  fc.constantFrom("12345678901234567890", "-0", "1e400", "0.10", "1E-7", "true", "false", "null"),
  quoted(fc.string({ unit: "binary", maxLength: 60 })),
  fc.jsonValue({ maxDepth: 4 }).map((json) => JSON.stringify(json, null, 1)),
  fc.nat(80).map((length) => JSON.stringify('\\"\\'.repeat(length))),
);

const member = fc
  .tuple(space, key, space, space, value, space)
  .map(([a, name, b, c, json, d]) => `${a}${name}${b}:${c}${json}${d}`);

const headMembers = fc.record({
  model: fc.option(quoted(fc.string({ unit: "binary", maxLength: 12 }))),
  stream: fc.option(fc.constantFrom("true", "false", "null", "1", '"true"')),
});

/** The text of a JSON object that `scanRequestHead` has to accept. */
export const objectText = fc
  .tuple(fc.array(member, { maxLength: 8 }), headMembers, fc.nat(), space, space, space)
  .map(([members, head, at, a, b, c]) => {
    const all = [...members];
    if (head.model !== null) all.splice(at % (all.length + 1), 0, `"model":${head.model}`);
    if (head.stream !== null)
      all.splice(at % (all.length + 1), 0, ` "str\\u0065am" :${head.stream}`);
    return `${a}{${all.length === 0 ? b : all.join(",")}}${c}`;
  });
