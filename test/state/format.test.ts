import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { drawState, type Layout, parseState } from "../../src/state/format.ts";
import { runs } from "../core/fuzz.ts";
import { anyEntries, anyEntry, entry } from "./entries.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const parse = (value: unknown) => parseState(bytesOf(JSON.stringify(value)));
const layouts: readonly Layout[] = ["lmproxy", "lmdeploy"];

test.each(layouts)("what is drawn in the layout of %s is read back", (layout) => {
  fc.assert(
    fc.property(anyEntries, (entries) => {
      const parsed = parseState(bytesOf(drawState(entries, layout)));
      expect(parsed).toMatchObject({ kind: "parsed", entries, skipped: [] });
      if (entries.length > 0) expect(parsed).toHaveProperty("layout", layout);
    }),
    runs(500),
  );
});

describe("LMDeploy's proxy_config.json", () => {
  test("is read as its proxy writes it", () => {
    const status = { role: 2, models: ["m"], unfinished: 3, latency: [0.5, 1], speed: 12 };
    const parsed = parse({ "http://0.0.0.0:23333": JSON.stringify(status) });
    expect(parsed).toEqual({
      kind: "parsed",
      layout: "lmdeploy",
      entries: [
        entry(0, { url: "http://127.0.0.1:23333", role: "Prefill", models: ["m"], speed: 12 }),
      ],
      skipped: [],
    });
  });

  test.each([
    [{}, entry(1, { models: [] })],
    [{ role: "Decode", models: null, speed: null }, entry(1, { role: "Decode", models: [] })],
    [{ role: "prefill", models: ["a"] }, entry(1, { role: "Prefill", models: ["a"] })],
    [{ role: null, speed: -1, models: [] }, entry(1, { models: [] })],
    [{ role: 3, something: { new: [] } }, entry(1, { role: "Decode", models: [] })],
  ])("takes the status %j, as an object too", (status, expected) => {
    for (const value of [status, JSON.stringify(status)]) {
      expect(parse({ [expected.url]: value })).toMatchObject({ entries: [expected], skipped: [] });
    }
  });

  // What LMDeploy's status model demands: the names and types of its five fields.
  test("stays readable for LMDeploy", () => {
    fc.assert(
      fc.property(anyEntry, (node) => {
        const file: Record<string, string> = JSON.parse(drawState([node], "lmdeploy"));
        const status = JSON.parse(file[node.url] ?? "");
        expect([1, 2, 3]).toContain(status.role);
        expect(status.models).toEqual([...new Set([...node.models, ...node.discoveredModels])]);
        expect(status).toMatchObject({ unfinished: 0, latency: [] });
        if (node.speed === null) expect(status.speed).toBeNull();
        else expect(Number.isInteger(status.speed) && status.speed >= 1).toBe(true);
      }),
      runs(200),
    );
  });
});

test("entries that cannot be used are skipped, and said which and why", () => {
  const parsed = parse({
    version: 1,
    nodes: [
      { url: "ftp://10.0.0.7", role: "Hybrid" },
      { role: "Hybrid" },
      "http://10.0.0.7:1",
      { url: "http://10.0.0.7:1", role: "Referee" },
      { url: "http://10.0.0.7:1", models: "m" },
      { url: "http://user:secret@10.0.0.7:1" },
      { url: "http://10.0.0.7:1", models: ["internlm2-chat-7b"], unknown: true },
    ],
  });
  expect(parsed).toMatchObject({ kind: "parsed", entries: [entry(1)] });
  const skipped = parsed.kind === "parsed" ? parsed.skipped : [];
  expect(skipped.map(({ place }) => place)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(JSON.stringify(skipped)).not.toContain("secret");
});

test("two spellings of one node are one node, the later one", () => {
  const parsed = parse({
    version: 1,
    nodes: [{ url: "http://EXAMPLE.com:80/" }, { url: "http://example.com", role: "Decode" }],
  });
  expect(parsed).toMatchObject({ entries: [{ url: "http://example.com", role: "Decode" }] });
});

test.each(["", " \n"])("an empty file (%j) holds no nodes and is not damaged", (text) => {
  expect(parseState(bytesOf(text))).toMatchObject({ kind: "parsed", layout: null, entries: [] });
});

test.each([
  ["{", "is not JSON"],
  ["nodes: yaml", "is not JSON"],
  ["[]", "is not a JSON object"],
  ["null", "is not a JSON object"],
  ['{"version": 2, "nodes": []}', "was written by a newer lmproxy (version 2)"],
  ['{"version": 1}', "has no nodes"],
  ['{"version": "0.1.0", "name": "somebody else\'s"}', "has no nodes"],
  ['{"theme": "dark", "size": 3}', "names no node"],
])("%j is damaged: it %s", (text, reason) => {
  expect(parseState(bytesOf(text))).toEqual({ kind: "damaged", reason });
});

test("nesting without end does not end the process", () => {
  const open = "[".repeat(200_000);
  expect(parseState(bytesOf(open))).toMatchObject({ kind: "damaged" });
  const nodes = `[${open}${"]".repeat(200_000)}, {"url": "http://10.0.0.7:1"}]`;
  const parsed = parseState(bytesOf(`{"version": 1, "nodes": ${nodes}}`));
  expect(parsed).toMatchObject({ entries: [entry(1, { models: [] })], skipped: [{ place: 1 }] });
});

test("bytes that are no UTF-8 are damaged", () => {
  const bytes = bytesOf(drawState([entry(1)], "lmproxy"));
  bytes[40] = 0xff;
  expect(parseState(bytes)).toMatchObject({ kind: "damaged" });
});
