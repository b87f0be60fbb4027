/** What the document says, held against what a running proxy with an engine answers. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openApiDocument } from "../../src/http/docs.ts";
import { engineInfoRoutes } from "../../src/http/routes/engine-info.ts";
import { keptRoutes } from "../../src/http/routes/kept.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { OpenApiReader } from "../support/openapi.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

/** The model of the document's examples. */
const MODEL = "internlm2-chat-7b";
const KEY = "a-client-key";

const reader = new OpenApiReader(await openApiDocument());
let engine: RunningEngine;
let proxy: ProxyProcess;
let closed: ProxyProcess;

beforeAll(async () => {
  // It serves more of the document's paths than LMDeploy.
  engine = await startEngine({ models: [MODEL], kind: "vllm", timeScale: 0 });
  [proxy, closed] = await Promise.all([
    startProxy(["--node", engine.url, "--max-body", "1MiB"]),
    startProxy(["--api-keys", KEY]),
  ]);
  await until("the node serves", async () =>
    Object.values(await proxy.status()).every(
      ({ state, models }) => state === "healthy" && models.length > 0,
    ),
  );
});

afterAll(async () => {
  await Promise.all([proxy.end("SIGKILL"), closed.end("SIGKILL")]);
  await engine.stop(true);
});

/** Fails unless the document describes this answer and its body fits. */
async function expectDescribed(method: string, path: string, answer: Response): Promise<void> {
  const type = answer.headers.get("content-type")?.split(";")[0] ?? "";
  const place = reader.answer(method, path, answer.status, type);
  const body = await answer.text();
  if (place === undefined) {
    throw new Error(`${method} ${path} is not described with ${answer.status} ${type}: ${body}`);
  }
  const value: unknown = type === "application/json" ? JSON.parse(body) : body;
  expect(reader.problems(place, value)).toEqual([]);
}

test("the committed document is what is served; else run: bun scripts/openapi.ts", async () => {
  const served: unknown = await (await fetch(`${proxy.url}/openapi.json`)).json();
  const committed = await Bun.file(join(import.meta.dir, "../../docs/openapi.json")).text();
  expect(committed).toBe(`${JSON.stringify(served, null, 2)}\n`);
});

test("the document is the same, whatever was called before it was asked for", async () => {
  await using other = await startProxy();
  for (const path of ["/nodes/drain", "/nodes/terminate", "/debug/log"]) {
    await fetch(other.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: "http://10.0.0.7:23333" }),
    });
  }
  for (const path of ["/nodes/show?node=none", "/debug/config", "/debug/log"]) {
    await fetch(other.url + path);
  }
  const served: unknown = await (await fetch(`${other.url}/openapi.json`)).json();
  expect(served).toEqual(await openApiDocument());
});

describe("the examples of requests work, and are answered as described", () => {
  const examples = reader.operations().flatMap(({ method, path, operation }) => {
    const bodies = operation.requestBody?.content["application/json"]?.examples ?? {};
    return Object.entries(bodies).map(([name, { value }]): [string, string, string, unknown] => [
      method,
      path,
      name,
      value,
    ]);
  });
  test.each(examples)("%s %s, %s", async (method, path, name, body) => {
    const answer = await fetch(proxy.url + path, {
      method,
      headers: { "content-type": "application/json", "anthropic-version": "2023-06-01" },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    const isStream = answer.headers.get("content-type")?.startsWith("text/event-stream");
    expect(isStream).toBe(name === "streamed");
    expect(answer.headers.get("x-request-id")).toBeTruthy();
    await expectDescribed(method, path, answer);
  });
});

/** The id of a request that has ended. */
async function explained(): Promise<string> {
  const id = "to-be-explained";
  const answer = await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-request-id": id },
    body: JSON.stringify({ model: MODEL, prompt: "x", max_tokens: 1 }),
  });
  expect(answer.status).toBe(200);
  await answer.bytes();
  return id;
}

describe("what is read is described", () => {
  const dangerous = new Set(["/nodes/terminate_all"]);
  /** Its answer has no end. */
  const endless = new Set(["/debug/live"]);
  /** Answered by engines, of which the simulated one has only the version. */
  const ofEngines = [...engineInfoRoutes, ...keptRoutes]
    .map(({ path }) => path.replace(/:(\w+)/g, "{$1}"))
    .filter((path) => path !== "/version");
  const paths = reader.operations().filter(({ method }) => method === "GET");
  test.each(
    paths
      .map(({ path }) => path)
      .filter((path) => !dangerous.has(path) && !endless.has(path) && !ofEngines.includes(path)),
  )("GET %s", async (path) => {
    const id = path.startsWith("/debug/") ? await explained() : engine.url;
    const url = proxy.url + path.replace("{model}", MODEL).replace("{id}", encodeURIComponent(id));
    const query = path === "/nodes/show" ? `?node=${engine.url}` : "";
    const answer = await fetch(url + query, { redirect: "manual" });
    expect(answer.status).toBe(path === "/" ? 302 : 200);
    if (answer.status === 200) await expectDescribed("GET", path, answer);
  });
});

describe("errors are described", () => {
  const body = JSON.stringify({ model: MODEL, messages: [] });
  const unknown = JSON.stringify({ model: "nope", messages: [] });
  const gone = JSON.stringify({ url: "http://127.0.0.1:9" });
  const failures: [string, string, number, RequestInit][] = [
    ["POST", "/v1/chat/completions", 400, { body: "[]" }],
    ["POST", "/v1/messages", 400, { body: "[]" }],
    ["POST", "/v1/chat/completions", 404, { body: unknown }],
    ["POST", "/v1/messages", 404, { body: unknown }],
    ["POST", "/v1/completions", 413, { body: " ".repeat(2 ** 20 + 1) }],
    ["POST", "/v1/completions", 415, { body, headers: { "content-encoding": "gzip" } }],
    ["POST", "/nodes/add", 400, { body: "{}" }],
    ["POST", "/nodes/add", 400, { body: JSON.stringify({ url: "file:///etc/passwd" }) }],
    ["POST", "/nodes/remove", 400, { body: "{}" }],
    ["POST", "/nodes/remove", 200, { body: gone }],
    ["POST", "/nodes/drain", 404, { body: gone }],
    ["POST", "/nodes/terminate", 404, { body: gone }],
    ["GET", "/nodes/status", 403, { headers: { "sec-fetch-site": "cross-site" } }],
  ];
  test.each(failures)("%s %s, %d", async (method, path, status, init) => {
    const headers = { "content-type": "application/json", ...init.headers };
    const answer = await fetch(proxy.url + path, { ...init, method, headers });
    expect(answer.status).toBe(status);
    await expectDescribed(method, path, answer);
  });

  test("GET /v1/models/{model}, 404", async () => {
    const answer = await fetch(`${proxy.url}/v1/models/nope`);
    expect(answer.status).toBe(404);
    await expectDescribed("GET", "/v1/models/{model}", answer);
  });

  test.each([
    ["POST", "/v1/chat/completions", 401, ""],
    ["POST", "/v1/messages", 401, ""],
    ["GET", "/v1/models", 401, ""],
    ["GET", "/anthropic/v1/models", 401, ""],
    ["GET", "/nodes/status", 401, ""],
    ["GET", "/ready", 503, ""],
    ["POST", "/v1/chat/completions", 503, KEY],
  ])("%s %s, %d without a key or an engine", async (method, path, status, key) => {
    const answer = await fetch(closed.url + path, {
      method,
      headers: { authorization: `Bearer ${key}` },
      ...(method === "POST" ? { body: JSON.stringify({ messages: [] }) } : {}),
    });
    expect(answer.status).toBe(status);
    expect(answer.headers.has("retry-after")).toBe(status === 503);
    expect(answer.headers.has("www-authenticate")).toBe(status === 401);
    await expectDescribed(method, path, answer);
  });
});

test("what is done to nodes is described, also when an engine refuses to end", async () => {
  const { url } = engine;
  const steps: [string, string, number][] = [
    ["POST", "/nodes/drain", 200],
    ["POST", "/nodes/add", 200],
    ["POST", "/nodes/terminate", 502],
    ["POST", "/nodes/add", 200],
    ["GET", "/nodes/terminate_all", 502],
    ["GET", "/nodes/terminate_all", 200],
  ];
  for (const [method, path, status] of steps) {
    const headers = { "content-type": "application/json" };
    const sent = method === "POST" ? { body: JSON.stringify({ url }), headers } : {};
    const answer = await fetch(proxy.url + path, { method, ...sent });
    expect([path, answer.status]).toEqual([path, status]);
    await expectDescribed(method, path, answer);
  }
});
