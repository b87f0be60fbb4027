import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Ending } from "../../src/core/ending.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { finalErrorEvent, isEventEnd, SequenceNumbers } from "../../src/core/sse-tail.ts";
import { bytesOf, textOf } from "./body/json-text.ts";
import { runs } from "./fuzz.ts";

function endsEvent(...pieces: string[]): boolean {
  const ending = new Ending(true);
  for (const piece of pieces) ending.push(bytesOf(piece));
  return isEventEnd(ending.bytes);
}

describe("the end of an event", () => {
  test.each([
    ["", true],
    ["data: x\n\n", true],
    ["data: x\r\n\r\n", true],
    ["data: x\r\r", true],
    ["data: x\n\r\n", true],
    ["data: x\r\n\n", true],
    ["data: x\n\ndata: [DONE]\n\n", true],
    [": a comment\n\n\n", true],
    ["\n", true],
    ["data: x", false],
    ["data: x\n", false],
    ["data: x\r\n", false],
    ["data: x\r", false],
    ["data: x\n\nd", false],
    ["data: x\n\nid: 1\n", false],
    ["data: 世\n\u0a0a", false],
  ])("%j", (text, expected) => {
    expect(endsEvent(text)).toBe(expected);
  });

  test("wherever the pieces are cut (property)", () => {
    const unit = fc.constantFrom("\n", "\r", "\r\n", "data: x", "é", ":");
    fc.assert(
      fc.property(fc.array(fc.string({ unit, maxLength: 4 }), { maxLength: 8 }), (pieces) => {
        const lines = `\n\n${pieces.join("")}`.replaceAll(/\r\n?/g, "\n");
        expect(endsEvent(...pieces)).toBe(lines.endsWith("\n\n"));
      }),
      runs(2000),
    );
  });
});

describe("the number of one more event", () => {
  const next = (...pieces: readonly string[]) => {
    const numbers = new SequenceNumbers();
    for (const piece of pieces) numbers.push(bytesOf(piece));
    return numbers.next;
  };

  test("is one more than the last, in whatever spelling", () => {
    expect(next()).toBe(0);
    expect(next('data: {"type":"x"}\n\n')).toBe(0);
    expect(next('data: {"sequence_number":0,"type":"x"}\n\n')).toBe(1);
    expect(next('data: {"sequence_number": 41}\n\n', 'data: {"a":1}\n\n')).toBe(42);
    const quoted = JSON.stringify({ delta: 'the text "sequence_number":9', sequence_number: 3 });
    expect(next(`data: ${quoted}\n\n`)).toBe(4);
  });

  test("wherever the pieces are cut (property)", () => {
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.array(fc.nat(60), { maxLength: 6 }), (last, cuts) => {
        const text = `data: {"sequence_number":5}\n\ndata: {"sequence_number":${last},"x":"y"}\n\n`;
        const places = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const pieces = places.slice(1).map((to, i) => text.slice(places[i], to));
        expect(next(...pieces)).toBe(last + 1);
      }),
      runs(500),
    );
  });
});

describe("finalErrorEvent", () => {
  const error = new ProxyError("upstream_error", 'The "engine"\nwas lost.', { param: "x" });
  const event = (target: string): string => textOf(finalErrorEvent(error, target, "req-1", 7));

  test("OpenAI: an unnamed event with an error", () => {
    for (const target of [
      "/v1/chat/completions",
      "/v1/completions?x",
      "/v1/messagesx",
      "/generate",
    ]) {
      expect(event(target)).toBe(
        'data: {"error":{"message":"The \\"engine\\"\\nwas lost.","type":"server_error","code":"upstream_error","param":"x"}}\n\n',
      );
    }
  });

  test("OpenAI Responses: its own error event", () => {
    for (const target of ["/v1/responses", "/v1/responses?x=1", "/v1/responses/compact"]) {
      expect(event(target)).toBe(
        'event: error\ndata: {"type":"error","code":"upstream_error","message":"The \\"engine\\"\\nwas lost.","param":"x","sequence_number":7}\n\n',
      );
    }
  });

  test("Anthropic: an error event", () => {
    for (const target of ["/v1/messages", "/v1/messages?beta=true"]) {
      expect(event(target)).toBe(
        'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"The \\"engine\\"\\nwas lost."},"request_id":"req-1"}\n\n',
      );
    }
  });
});
