import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { startEngine } from "../../../src/sim/server/api-server.ts";
import { engineStarter, post, until } from "./running.ts";

const start = engineStarter();
const CHAT = "/v1/chat/completions";

/** A proxy that notes what is registered with it; `onAdd` may look around before it answers. */
function startRegistry(onAdd: (body: string, headers: Headers) => Promise<Response>) {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      if (new URL(request.url).pathname !== "/nodes/add") return new Response("", { status: 404 });
      return onAdd(await request.text(), request.headers);
    },
  });
  servers.push(server);
  return `http://127.0.0.1:${server.port}`;
}

const servers: { stop(force: boolean): unknown }[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.stop(true);
});

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

describe("registration", () => {
  test("is LMDeploy's body, sent before the engine listens", async () => {
    let seen = { body: "", type: "", listened: true };
    const proxy = startRegistry(async (body, headers) => {
      const { port } = new URL(JSON.parse(body).url);
      seen = {
        body,
        type: headers.get("content-type") ?? "",
        listened: await isListening(Number(port)),
      };
      expect(headers.get("authorization")).toBeNull();
      return new Response("ok");
    });
    const engine = await start({ proxyUrls: [`${proxy}/`], role: "Decode", models: ["a", "b"] });
    expect(seen).toEqual({
      body: `{"url":"${engine.url}","status":{"models":["a","b"],"role":3}}`,
      type: "application/json",
      listened: false,
    });
    expect(await isListening(engine.port)).toBe(true);
  });

  test("carries the speed if there is one", async () => {
    const bodies: string[] = [];
    const proxy = startRegistry(async (body) => {
      bodies.push(JSON.stringify(JSON.parse(body).status));
      return new Response("ok");
    });
    await start({ proxyUrls: [proxy], speed: 2.5 });
    await start({ proxyUrls: [proxy], speed: null });
    expect(bodies).toEqual([
      '{"models":["tiny"],"role":1,"speed":2.5}',
      '{"models":["tiny"],"role":1,"speed":null}',
    ]);
  });

  test("that fails is logged and not tried again", async () => {
    let calls = 0;
    const proxy = startRegistry(async () => {
      calls += 1;
      return new Response("no", { status: 503 });
    });
    const lines: string[] = [];
    const proxyUrls = [proxy, "http://127.0.0.1:1"];
    const engine = await start({ proxyUrls, log: (line) => lines.push(line) });
    expect(calls).toBe(1);
    expect(lines.filter((line) => line.startsWith("could not register"))).toHaveLength(2);
    expect((await fetch(`${engine.url}/health`)).status).toBe(200);
  });
});

describe("health", () => {
  test.each([
    ["healthy", 200],
    ["sleeping", 200],
    ["initializing", 503],
    ["unhealthy", 503],
  ] as const)("%s is %d with a JSON body", async (health, status) => {
    const engine = await start({ health });
    const answer = await fetch(`${engine.url}/health`);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ status: health, message: expect.any(String) });
  });

  test("of older engines is an empty 200", async () => {
    const engine = await start({ health: "empty" });
    const answer = await fetch(`${engine.url}/health`);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe("");
  });
});

test("asleep it refuses inference with 503, until weights and cache have been woken", async () => {
  const engine = await start();
  const status = async () => (await post(engine.url + CHAT, { messages: "hi" })).status;
  const call = (path: string) => fetch(engine.url + path, { method: "POST" });
  expect((await call("/sleep?level=3")).status).toBe(400);
  expect((await call("/sleep?level=1")).status).toBe(200);
  expect(await (await fetch(`${engine.url}/is_sleeping`)).json()).toEqual({ is_sleeping: true });
  expect(await status()).toBe(503);
  await call("/wakeup?tags=weights");
  expect(await status()).toBe(503);
  await call("/wakeup?tags=kv_cache");
  expect(await status()).toBe(200);
});

test("sleeping and aborting end what runs", async () => {
  const engine = await start({ timeScale: 1_000 });
  const first = post(engine.url + CHAT, { messages: "hi" });
  await until(() => engine.state().running === 1);
  expect((await post(`${engine.url}/abort_request`, { session_id: 0 })).status).toBe(200);
  expect((await first).status).toBe(400);
  expect((await post(`${engine.url}/abort_request`, { session_id: 0 })).status).toBe(400);
  const second = post(engine.url + CHAT, { messages: "hi", stream: true });
  await until(() => engine.state().running === 1);
  await fetch(`${engine.url}/sleep`, { method: "POST" });
  expect(await (await second).text()).toContain('"finish_reason":"abort"');
  expect(engine.state().usedBlocks).toBe(0);
});

test("terminate is refused unless it was allowed; then the engine ends", async () => {
  const refusing = await start();
  expect((await fetch(`${refusing.url}/terminate`)).status).toBe(400);
  const ended = Promise.withResolvers<void>();
  const engine = await startEngine({
    models: ["tiny"],
    allowTerminate: true,
    onTerminate: ended.resolve,
  });
  expect((await fetch(`${engine.url}/terminate`)).status).toBe(200);
  await ended.promise;
  expect(await isListening(engine.port)).toBe(false);
});

test("models can change while it runs, in both lists", async () => {
  const engine = await start();
  engine.setModels(["tiny", "adapter"]);
  const models = async (path: string) => (await fetch(engine.url + path)).json();
  const both = { data: [{ id: "tiny" }, { id: "adapter" }] };
  expect(await models("/v1/models")).toMatchObject(both);
  expect(await models("/anthropic/v1/models")).toMatchObject(both);
  await post(`${engine.url}/debug/set`, { models: ["other"] });
  expect(await models("/v1/models")).toMatchObject({ data: [{ id: "other" }] });
  expect((await post(engine.url + CHAT, { model: "tiny", messages: "hi" })).status).toBe(404);
});

test("errors are flat as LMDeploy's, or enveloped as vLLM's", async () => {
  const flat = await start();
  const body = { model: "x", messages: "hi" };
  const error = { type: "invalid_request_error", code: 404, param: null };
  const answer = await (await post(flat.url + CHAT, body)).json();
  expect(answer).toEqual({ message: expect.any(String), ...error, object: "error" });
  const enveloped = await start({ kind: "vllm" });
  const other = await (await post(enveloped.url + CHAT, body)).json();
  expect(other).toEqual({ error: { message: expect.any(String), ...error } });
});

test("what it does not serve is 404, another method 405, a bad body 400", async () => {
  const { url } = await start();
  expect((await fetch(`${url}/nothing`)).status).toBe(404);
  expect((await fetch(url + CHAT)).status).toBe(405);
  for (const body of ["{", "[]", '"x"']) {
    expect((await fetch(url + CHAT, { method: "POST", body })).status).toBe(400);
  }
  for (const max_tokens of [0, -1, 1.5, "9"]) {
    expect((await post(url + CHAT, { messages: "hi", max_tokens })).status).toBe(400);
  }
});
