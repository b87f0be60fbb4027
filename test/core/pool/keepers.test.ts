/** Which node keeps which response: what is known, for how long, and how ids are found in what passes. */

import { heapStats } from "bun:jsc";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { referredIds } from "../../../src/core/body/referred-ids.ts";
import { scanRequestHead } from "../../../src/core/body/request-head.ts";
import { KeptIdFinder, type KeptKind } from "../../../src/core/kept-id.ts";
import { Keepers } from "../../../src/core/pool/keepers.ts";
import { KeptRequest } from "../../../src/core/pool/kept-request.ts";
import { Cluster } from "../../../src/lab/cluster.ts";
import { runs } from "../fuzz.ts";

setDefaultTimeout(60_000);

const encoder = new TextEncoder();
const DAY_MS = 24 * 3_600_000;

function start(mostIds = 100) {
  const cluster = new Cluster({ nodes: 2 });
  const { registry, time } = cluster;
  const isMember = (node: { readonly url: string }) => registry.get(node.url) === node;
  const keepers = new Keepers({ now: time.now, isMember, mostIds });
  return { cluster, keepers, time, one: cluster.node("n0"), two: cluster.node("n1") };
}

test("a node is known for a day, as long as it is there", () => {
  const { cluster, keepers, time, one, two } = start();
  keepers.remember("resp_1", one);
  keepers.remember("resp_2", two);
  keepers.remember("resp_2", one);
  expect([keepers.of("resp_1"), keepers.of("resp_2"), keepers.of("resp_3")]).toEqual([
    one,
    one,
    null,
  ]);
  time.advance(DAY_MS - 1);
  keepers.remember("resp_4", two);
  time.advance(1);
  expect([keepers.of("resp_1"), keepers.of("resp_4")]).toEqual([null, two]);
  cluster.registry.membership.remove(two.url);
  expect(keepers.of("resp_4")).toBeNull();
});

test("no more than so many are known, and the last half of them always", () => {
  const { keepers, one } = start(100);
  for (let id = 0; id < 10_000; id += 1) {
    keepers.remember(`resp_${id}`, one);
    expect(keepers.size).toBeLessThanOrEqual(100);
    if (id >= 49) expect(keepers.of(`resp_${id - 49}`)).toBe(one);
  }
});

test("of the texts that ids were cut out of nothing is kept", () => {
  const { keepers, one } = start(10_000);
  const texts = 1_000;
  const bytes = 16_384;
  const keptBytes = () => {
    Bun.gc(true);
    return heapStats().extraMemorySize;
  };
  const before = keptBytes();
  for (let at = 0; at < texts; at += 1) {
    const id = `resp_${at}${"0".repeat(32)}`;
    const piece = encoder.encode(`{"id":"${id}","text":"${"x".repeat(bytes)}"}`);
    new KeptRequest(keepers, [], "response").piece(one, piece);
    const [, , , asked = ""] = `/v1/responses/${id}p?${"x".repeat(bytes)}`.split(/[/?]/);
    new KeptRequest(keepers, [asked], null).answeredBy(one);
  }
  expect(keptBytes() - before).toBeLessThan((texts * bytes) / 4);
  expect(keepers.size).toBe(2 * texts);
});

test("what a request refers to says where it goes, and where it was answered is known from then on", () => {
  const { keepers, one, two } = start();
  const first = new KeptRequest(keepers, [], "response");
  expect([first.keeper, first.isSought]).toEqual([null, false]);
  first.answeredBy(one);
  first.piece(one, encoder.encode('{"id":"resp_1","object":"response"}'));
  const next = new KeptRequest(keepers, ["resp_1", "conv_1"], "response");
  expect([next.keeper, next.isSought]).toEqual([one, false]);
  const sought = new KeptRequest(keepers, ["resp_x"], null);
  expect([sought.keeper, sought.isSought]).toEqual([null, true]);
  sought.answeredBy(two);
  expect(keepers.of("resp_x")).toBe(two);
});

describe("the id in an answer", () => {
  const find = (pieces: readonly Uint8Array[], kind: KeptKind = "response") => {
    const finder = new KeptIdFinder(kind);
    return pieces.map((piece) => finder.push(piece)).filter((id) => id !== null);
  };

  test.each([
    ["vLLM's", '{"id":"resp_4f","created_at":1,"output":[{"id":"msg_1"}]}', "resp_4f"],
    ["Python's", '{"id": "resp_4f", "object": "response"}', "resp_4f"],
    ["pretty", '{\n  "id" : "resp-4f.1"\n}', "resp-4f.1"],
    [
      "of an event",
      'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_4f"}}\n\n',
      "resp_4f",
    ],
    [
      "behind others",
      '{"previous_response_id":"resp_0","conversation":{"id":"conv_1"},"id":"resp_4f"}',
      "resp_4f",
    ],
  ])("%s", (_, text, id) => {
    expect(find([encoder.encode(text)])).toEqual([id]);
  });

  test("is found once, wherever the pieces were cut", () => {
    const id = fc.stringMatching(/^resp_[a-z0-9]{1,60}$/);
    const cuts = fc.array(fc.nat(400), { maxLength: 30 });
    fc.assert(
      fc.property(id, fc.string({ maxLength: 60 }), cuts, (name, said, at) => {
        const bytes = encoder.encode(
          `event: x\ndata: ${JSON.stringify({ type: "x", said, response: { id: name, output: [{ id: "resp_other" }] } })}\n\n`,
        );
        const ends = [...at.filter((end) => end < bytes.length), bytes.length].sort(
          (a, b) => a - b,
        );
        const pieces = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
        expect(find(pieces)).toEqual([name]);
      }),
      runs(300),
    );
  });

  test("is never what somebody says", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const said = `${before}"id":"resp_forged"${after}`;
        const text = JSON.stringify({ metadata: said, output: [{ id: "msg_1", text: said }] });
        expect(find([encoder.encode(text)])).toEqual([]);
      }),
      runs(300),
    );
  });

  test("is not looked for in the whole of a long answer, nor in what is no answer", () => {
    const long = encoder.encode(`{"text":"${"x".repeat(70_000)}","id":"resp_late"}`);
    expect(find([long])).toEqual([]);
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 })), (pieces) => {
        expect(find(pieces).length).toBeLessThanOrEqual(1);
      }),
      runs(200),
    );
  });
});

test("ids are read of a body as far as they are ids", () => {
  const read = (value: object) => {
    const body = encoder.encode(JSON.stringify(value));
    return referredIds(body, scanRequestHead(body));
  };
  expect(read({ previous_response_id: "resp_1", conversation: "conv_1" })).toEqual([
    "resp_1",
    "conv_1",
  ]);
  expect(read({ conversation: { id: "conv_1" } })).toEqual(["conv_1"]);
  expect(read({ previous_response_id: null, conversation: 7, input: "x" })).toEqual([]);
  expect(read({ previous_response_id: "../nodes", conversation: { id: "x".repeat(201) } })).toEqual(
    [],
  );
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (previous, conversation) => {
      for (const id of read({ previous_response_id: previous, conversation })) {
        expect(id).toMatch(/^\w[\w.-]{0,199}$/);
      }
    }),
    runs(200),
  );
});
