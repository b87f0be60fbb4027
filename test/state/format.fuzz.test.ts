import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { drawState, type Layout, parseState } from "../../src/state/format.ts";
import { runs } from "../core/fuzz.ts";
import { anyEntries } from "./entries.ts";

/** Inputs that once were handled wrongly, and one good file of each layout; grows with what is found. */
const CORPUS = join(import.meta.dir, "fixtures");
const corpus = readdirSync(CORPUS).map((name) => readFileSync(join(CORPUS, name)));

/** One way to damage a file, at a place given as a share of its length. */
const anyDamage = fc.record({
  kind: fc.constantFrom("flip", "cut", "drop", "repeat", "insert"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.integer({ min: 1, max: 40 }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
});

const TOKENS = [
  "{",
  "}",
  "[",
  "]",
  '"',
  ",",
  ":",
  "null",
  "-1",
  "1e999",
  '"__proto__":',
  "\\u0000",
];
const anyToken = fc.constantFrom(...TOKENS).map((token) => new TextEncoder().encode(token));

const anyStateFile = fc.oneof(
  fc.constantFrom(...corpus),
  fc
    .tuple(anyEntries, fc.constantFrom<Layout[]>("lmproxy", "lmdeploy"))
    .map(([entries, layout]) => Buffer.from(drawState(entries, layout))),
);

type Damage = typeof anyDamage extends fc.Arbitrary<infer T> ? T : never;

function damage(file: Uint8Array, how: Damage, token: Uint8Array): Uint8Array {
  const { kind, at, length, bytes } = how;
  const start = Math.floor(at * file.length);
  const before = file.subarray(0, start);
  const after = file.subarray(start);
  const rest = file.subarray(start + length);
  switch (kind) {
    case "cut":
      return before;
    case "drop":
      return Buffer.concat([before, rest]);
    case "repeat":
      return Buffer.concat([before, after.subarray(0, length), after]);
    case "insert":
      return Buffer.concat([before, token, after]);
    default:
      return Buffer.concat([before, bytes, file.subarray(start + bytes.length)]);
  }
}

/** Whatever the bytes: a value, whose entries are good enough to be kept and read again. */
function holds(bytes: Uint8Array): void {
  const parsed = parseState(bytes);
  if (parsed.kind === "damaged") {
    expect(parsed.reason).not.toBe("");
    return;
  }
  const { entries } = parsed;
  expect(new Set(entries.map(({ url }) => url)).size).toBe(entries.length);
  for (const layout of ["lmproxy", "lmdeploy"] as const) {
    const again = parseState(Buffer.from(drawState(entries, layout)));
    expect(again).toMatchObject({ kind: "parsed", entries, skipped: [] });
  }
}

test("damaged files never make it throw", () => {
  fc.assert(
    fc.property(
      anyStateFile,
      fc.array(fc.tuple(anyDamage, anyToken), { minLength: 1, maxLength: 4 }),
      (file, damages) => {
        let bytes: Uint8Array = file;
        for (const [how, token] of damages) bytes = damage(bytes, how, token);
        holds(bytes);
      },
    ),
    runs(15_000),
  );
}, 60_000);

test("nor does any JSON, nor any bytes", () => {
  const keys = fc.constantFrom(
    "version",
    "nodes",
    "url",
    "role",
    "models",
    "lmproxy",
    "http://a:1",
  );
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom(1, 2, "Hybrid", "http://10.0.0.7:1", "{}", null, -0.5, true),
      fc.array(tie("json"), { maxLength: 3 }),
      fc.dictionary(keys, tie("json"), { maxKeys: 4 }),
      tie("json").map((value) => JSON.stringify(value) ?? ""),
    ),
  }));
  fc.assert(
    fc.property(json, (value) => holds(Buffer.from(JSON.stringify(value)))),
    runs(2_000),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), holds), runs(1_000));
}, 60_000);
