import { expect, test } from "bun:test";
import { EMPTY } from "../../src/core/pool/statuses.ts";
import { amountOf } from "../../src/upstream/worth.ts";

const CHAT = "/v1/chat/completions";

function worth(target: string, text: string, isWhole = true, type = "application/json"): number {
  const answer = new Response(null, { headers: { "content-type": type } });
  const form = type === "application/json" ? "json" : null;
  return amountOf(answer, form, target, Buffer.from(text), isWhole);
}

test.each([
  [CHAT, '{"id":"x","choices":[{"message":{"content":"hi"}}]}'],
  [`${CHAT}?x=1`, '{ "choices" : [{"text":"hi"}] }\n'],
  ["/v1/messages", '{"type":"message","content":[]}'],
  ["/v1/messages/count_tokens", '{"input_tokens":3}'],
  ["/v1/responses", '{"status":"queued","output":[]}'],
  ["/v1/responses", '{"status":"failed","error":{"code":"server_error"},"output":[]}'],
  ["/v1/responses/resp_1", '{"id":"resp_1","object":"response.deleted"}'],
  ["/v1/embeddings", '{"data":[{"embedding":[1]}]}'],
  ["/tokenize", '{"tokens":[1]}'],
  ["/generate", '{"text":"hi"}'],
  ["/own/path", '{"error":{"message":"none"}}'],
])("what %s gives is worth its status: %s", (target, text) => {
  expect(worth(target, text)).toBe(200);
});

test.each([
  [CHAT, '{"status":"ok"}', EMPTY],
  [CHAT, "null", EMPTY],
  [CHAT, "Internal Server Error", EMPTY],
  [CHAT, '{"choices":[', EMPTY],
  ["/v1/messages", '{"id":"x"}', EMPTY],
  ["/v1/responses?x", "{}", EMPTY],
  ["/v1/embeddings", '{"detail":"none"}', EMPTY],
  [CHAT, '{"error":{"message":"x","code":429}}', 429],
  ["/v1/messages", '{"type":"error","error":{"type":"overloaded_error"}}', 503],
])("what %s does not give is worth nothing, or what it says: %s", (target, text, amount) => {
  expect(worth(target, text)).toBe(amount);
});

test("what is long, blank so far, packed or bytes is not judged, nor what is not all", () => {
  expect(worth(CHAT, `{"x":"${"y".repeat(2_000)}"}`)).toBe(200);
  expect(worth(CHAT, " \n", false)).toBe(200);
  expect(worth(CHAT, "O", false, "text/plain")).toBe(200);
  expect(worth(CHAT, "OK", true, "text/plain")).toBe(EMPTY);
  expect(worth("/v1/embeddings", "\0\0\x80?", true, "application/octet-stream")).toBe(200);
  const packed = new Response(null, { headers: { "content-encoding": "gzip" } });
  expect(amountOf(packed, null, CHAT, Buffer.from("\x1f\x8b"), true)).toBe(200);
});
