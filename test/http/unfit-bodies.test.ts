/** Bodies of administration that are JSON, and not what the call takes: the answer says where, and no more than that. */
import { afterAll, expect, test } from "bun:test";
import { startProxy } from "../support/proxy.ts";

const proxy = await startProxy([]);
afterAll(() => proxy.end("SIGKILL"));

const NODE = "http://127.0.0.1:9";

test.each([
  ["/nodes/add", { url: { toString: 1 } }, "/url: Expected string"],
  ["/nodes/add", { url: { toString: null, valueOf: 1 } }, "/url: Expected string"],
  ["/nodes/call", { path: { toString: 1 } }, "/path: Expected string"],
  ["/nodes/add", { url: ["x".repeat(100_000)] }, "/url: Expected string"],
  ["/nodes/add", { url: NODE, status: { speed: "5" } }, "/status/speed: Expected number or null"],
  ["/nodes/add", { url: NODE, status: 5 }, "/status: Expected object or null"],
  [
    "/nodes/add",
    { url: NODE, status: { models: ["a", ""] } },
    "/status/models/1: Expected string length greater or equal to 1",
  ],
  [
    "/nodes/add",
    { url: NODE, models: Array(10_001).fill("m") },
    "/models: Expected array length to be less or equal to 10000",
  ],
  [
    "/nodes/add",
    { url: NODE, role: "x" },
    '/role: Expected 1 or 2 or 3 or "Hybrid" or "Prefill" or "Decode" or null',
  ],
  ["/nodes/add", { url: NODE, name: "a b" }, "/name: Expected string to match"],
  ["/nodes/add", {}, "/url: Expected"],
  ["/nodes/add", null, "The body: Expected object"],
  ["/nodes/remove", { url: 5, more: 1 }, "/url: Expected string"],
  ["/nodes/add", { url: NODE, status: { more: 1, speed: "5" } }, "/status/speed: Expected number"],
])("%s %#", async (path, body, message) => {
  const answer = await fetch(proxy.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  expect([answer.status, text.length < 300]).toEqual([400, true]);
  expect(JSON.parse(text)).toMatchObject({ error: { message: expect.stringContaining(message) } });
});
