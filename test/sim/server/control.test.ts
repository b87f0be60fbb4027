import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { startEngine } from "../../../src/sim/server/api-server.ts";
import { change, engineStarter, HI, post, until } from "./running.ts";

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
  const status = async () => (await post(engine.url + CHAT, { messages: HI })).status;
  const headers = { "content-type": "application/json" };
  const call = (path: string) => fetch(engine.url + path, { method: "POST", headers });
  expect((await fetch(`${engine.url}/sleep`, { method: "POST" })).status).toBe(400);
  expect((await call("/sleep?level=3")).status).toBe(400);
  expect((await call("/sleep?level=1")).status).toBe(200);
  expect(await (await fetch(`${engine.url}/is_sleeping`)).json()).toEqual({ is_sleeping: true });
  expect(await status()).toBe(503);
  await call("/wakeup?tags=weights");
  expect(await status()).toBe(503);
  await call("/wakeup?tags=kv_cache");
  expect(await status()).toBe(200);
});

test("sleeping and aborting end what runs, as answers that say so", async () => {
  const engine = await start({ timeScale: 1_000, abortHandling: true });
  const abort = () => post(`${engine.url}/abort_request`, { session_id: 7 });
  expect((await abort()).status).toBe(400);
  const first = post(engine.url + CHAT, { messages: HI, session_id: 7 });
  await until(() => engine.state().running === 1);
  expect((await abort()).status).toBe(200);
  const aborted = await first;
  expect(aborted.status).toBe(200);
  expect(await aborted.json()).toMatchObject({ choices: [{ finish_reason: "abort" }] });
  expect((await abort()).status).toBe(400);
  const second = post(engine.url + CHAT, { messages: HI, stream: true });
  await until(() => engine.state().running === 1);
  await post(`${engine.url}/sleep`, {});
  expect(await (await second).text()).toContain('"finish_reason": "abort"');
  expect(engine.state().usedBlocks).toBe(0);
  const { url } = await start();
  expect((await post(`${url}/abort_request`, { abort_all: true })).status).toBe(501);
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
  await change(engine.url, { models: ["other"] });
  expect(await models("/v1/models")).toMatchObject({ data: [{ id: "other" }] });
  expect((await post(engine.url + CHAT, { model: "tiny", messages: HI })).status).toBe(404);
});

describe("errors are in the words of their path", () => {
  const MISSING = "The model 'x' does not exist.";

  test("flat in LMDeploy, Anthropic's and Responses' own, enveloped in vLLM", async () => {
    const flat = await start();
    const other = await start({ kind: "vllm" });
    const ask = async (url: string, body: object) => {
      const headers = { "anthropic-version": "2023-06-01" };
      return await (await post(url, { model: "x", ...body }, { headers })).json();
    };
    const type = "not_found_error";
    const plain = { message: MISSING, type, code: 404, param: null };
    expect(await ask(flat.url + CHAT, { messages: HI })).toEqual({ ...plain, object: "error" });
    expect(await ask(`${flat.url}/v1/messages`, { messages: HI, max_tokens: 1 })).toEqual({
      type: "error",
      error: { type, message: MISSING },
    });
    expect(await ask(`${flat.url}/v1/responses`, { input: "hi" })).toEqual({
      error: { ...plain, param: "model" },
    });
    expect(await ask(other.url + CHAT, { messages: HI })).toEqual({
      error: { ...plain, type: "NotFoundError" },
    });
  });

  test("a body that does not fit is 400 and says where, 422 in old releases", async () => {
    const engine = await start();
    const complaint = async (body: object) => {
      const answer = await post(engine.url + CHAT, body);
      expect(answer.status).toBe(400);
      return Object(await answer.json()).message;
    };
    const whole = "Input should be a valid integer, got a number with a fractional part";
    expect([
      await complaint({ messages: HI, model: undefined }),
      await complaint({ messages: "hi" }),
      await complaint({ messages: ["hi"] }),
      await complaint({ messages: [] }),
      await complaint({ messages: HI, max_tokens: 1.5 }),
      await complaint({ messages: HI, max_tokens: 0 }),
      await complaint({ messages: HI, stream: "maybe" }),
      await complaint({ messages: HI, temperature: 3 }),
      await complaint({ messages: HI, n: 129 }),
    ]).toEqual([
      "model: Field required",
      "messages: Input should be a valid list",
      "messages.0: Input should be a valid dictionary",
      "messages must not be empty unless input_ids is set.",
      `max_tokens: ${whole}`,
      "The max_tokens 0 must be a positive integer.",
      "stream: Input should be a valid boolean, unable to interpret input",
      "The temperature 3.0 must be in [0, 2]",
      "The n 129 exceeds the maximum supported choices (128).",
    ]);
    const old = await start({ release: "0.14" });
    expect((await post(old.url + CHAT, { messages: 1 })).status).toBe(422);
    expect((await post(old.url + CHAT, { messages: "hi" })).status).toBe(200);
    const lax = await post(engine.url + CHAT, { messages: HI, max_tokens: "2" });
    expect(await lax.json()).toMatchObject({ usage: { completion_tokens: 2 } });
  });

  test("what it does not serve is 404, another method 405, no JSON 400", async () => {
    const { url } = await start();
    for (const path of ["/nothing", "/tokenize", "/version", "/v1/models/tiny"]) {
      expect((await fetch(url + path)).status).toBe(404);
    }
    expect((await fetch(url + CHAT)).status).toBe(405);
    const headers = { "content-type": "application/json" };
    for (const body of ["{", "[]", '"x"', ""]) {
      expect((await fetch(url + CHAT, { method: "POST", body, headers })).status).toBe(400);
    }
    const asText = { method: "POST", body: JSON.stringify({ model: "tiny", messages: HI }) };
    expect((await fetch(url + CHAT, asText)).status).toBe(400);
    expect((await post(`${url}/v1/embeddings`, { input: "x" })).status).toBe(400);
    expect((await post(`${url}/v1/completions`, { prompt: [1, 2] })).status).toBe(400);
    expect((await post(`${url}/generate`, { prompt: "" })).status).toBe(400);
  });

  test("a key is asked for nearly everywhere, and missed in the words of the path", async () => {
    const { url } = await start({ apiKey: "s3cret" });
    for (const path of ["/metrics", "/v1/models", "/is_sleeping"]) {
      expect((await fetch(url + path)).status).toBe(401);
    }
    for (const path of ["/health", "/docs"]) {
      expect((await fetch(url + path)).status).not.toBe(401);
    }
    expect(await (await post(url + CHAT, {})).json()).toMatchObject({ message: "Unauthorized." });
    expect(await (await post(`${url}/v1/messages`, {})).json()).toMatchObject({ type: "error" });
  });
});

test("an exception that nobody handles is plain text, and then the connection ends", async () => {
  const engine = await start({ timeScale: 1_000 });
  const body = { messages: HI, session_id: 5 };
  const gone = new AbortController();
  const first = post(engine.url + CHAT, body, { signal: gone.signal });
  await until(() => engine.state().running === 1);
  const second = await post(engine.url + CHAT, body);
  expect([second.status, await second.text()]).toEqual([500, "Internal Server Error"]);
  expect(second.headers.get("connection")).toBeNull();
  const occupied = await post(engine.url + CHAT, { messages: HI, session_id: 0 });
  expect(await occupied.json()).toMatchObject({ message: "The session_id 0 is occupied." });
  gone.abort();
  await expect(first).rejects.toThrow();
});

test("what /sleep and /wakeup did shows in /health at its next look", async () => {
  let nowMs = 0;
  const engine = await start({ now: () => nowMs, healthIntervalMs: 12_000 });
  const status = async () => {
    return Object(await (await fetch(`${engine.url}/health`)).json()).status;
  };
  const call = (path: string) => post(engine.url + path, {});
  nowMs = 3_000;
  await call("/sleep");
  expect((await post(engine.url + CHAT, { messages: HI })).status).toBe(503);
  nowMs = 11_999;
  expect(await status()).toBe("healthy");
  nowMs = 12_000;
  expect(await status()).toBe("sleeping");
  await call("/wakeup");
  expect((await post(engine.url + CHAT, { messages: HI })).status).toBe(200);
  expect(await status()).toBe("sleeping");
  nowMs = 24_000;
  expect(await status()).toBe("healthy");
});
