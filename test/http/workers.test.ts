/** What scripts for vllm-router, sglang-router and smg call, with the shapes that they read. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { type RecordingNode, startRecordingNode } from "../support/recording-node.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

async function call(proxy: ProxyProcess, method: string, target: string, body?: unknown) {
  const answer = await fetch(proxy.url + target, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  const type = answer.headers.get("content-type");
  const isJson = type?.includes("json") === true;
  return { status: answer.status, type, text, json: Object(isJson ? JSON.parse(text) : {}) };
}

test.concurrent("POST /workers is 200 once the node can be routed to; it is listed, shown and removed by its id", async () => {
  await using node = startRecordingNode();
  await using proxy = await startProxy();
  const added = await call(proxy, "POST", "/workers", { url: `${node.url}/`, priority: 10 });
  expect(added.status).toBe(200);
  expect(added.json).toMatchObject({ success: true, status: "accepted", url: node.url });
  const id = added.json.worker_id;
  expect(id).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  const routed = await call(proxy, "POST", "/v1/completions", { model: "tiny", prompt: "x" });
  expect(routed.status).toBe(200);

  const worker = {
    ...{ id, url: node.url, model_id: "tiny", worker_type: "regular", is_healthy: true, load: 0 },
    ...{ connection_mode: "Http", priority: 50, cost: 1 },
  };
  expect((await call(proxy, "GET", "/workers")).json).toMatchObject({
    workers: [worker],
    total: 1,
    stats: { prefill_count: 0, decode_count: 0, regular_count: 1 },
  });
  const encoded = encodeURIComponent(node.url);
  expect((await call(proxy, "GET", `/workers/${id}`)).json).toMatchObject(worker);
  expect((await call(proxy, "GET", `/workers/${encoded}`)).json).toMatchObject(worker);
  expect((await call(proxy, "GET", "/get_loads")).json).toEqual({
    workers: [{ worker: node.url, load: 0 }],
  });
  expect((await call(proxy, "GET", "/list_workers")).json).toEqual({ urls: [node.url] });

  // Twice is no mistake, and no second node.
  const again = await call(proxy, "POST", "/workers", { url: node.url, api_key: "canary" });
  expect(again.json.worker_id).toBe(id);
  expect(again.json.message).toContain("--upstream-api-key");
  expect(again.text).not.toContain("canary");
  expect((await call(proxy, "DELETE", `/workers/${id}`)).json).toMatchObject({ success: true });
  expect((await call(proxy, "GET", `/workers/${id}`)).status).toBe(404);
  expect((await call(proxy, "GET", "/workers")).json.total).toBe(0);
  await call(proxy, "POST", "/workers", { url: node.url });
  expect((await call(proxy, "DELETE", `/workers/${encoded}`)).status).toBe(200);
  expect((await call(proxy, "PUT", `/workers/${encoded}`)).status).toBe(405);
  for (const name of ["%2F", "x", "http%3A%2F%2F127.0.0.1%3A9", "a/b"]) {
    expect([name, (await call(proxy, "GET", `/workers/${name}`)).status]).toEqual([name, 404]);
  }
  expect((await call(proxy, "GET", "/workers/%zz")).status).toBe(400);
});

test.concurrent("/add_worker and /remove_worker take ?url=, and answer in words", async () => {
  await using node = startRecordingNode();
  await using proxy = await startProxy();
  const query = `?url=${encodeURIComponent(node.url)}`;
  expect(await call(proxy, "POST", `/add_worker${query}`)).toMatchObject({
    status: 200,
    type: "text/plain; charset=utf-8",
    text: `Successfully added worker: ${node.url}`,
  });
  expect((await call(proxy, "POST", `/add_worker${query}`)).status).toBe(200);
  for (let i = 0; i < 2; i += 1) {
    expect(await call(proxy, "POST", `/remove_worker${query}`)).toMatchObject({
      status: 200,
      type: "text/plain; charset=utf-8",
      text: `Successfully removed worker: ${node.url}`,
    });
  }
  expect((await call(proxy, "POST", "/add_worker")).status).toBe(400);
});

test.concurrent("a registration of a dead engine, or of one that hangs, is 202 and does not wait for it", async () => {
  const hanging = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Promise(() => {}) });
  await using proxy = await startProxy(["--health-timeout", "600"]);
  const registered = ["http://127.0.0.1:9", hanging.url.origin].map(async (url) => {
    const added = await call(proxy, "POST", "/workers", { url });
    expect([url, added.status]).toEqual([url, 202]);
    expect(added.json.message).toContain("as soon as its health probe passes");
  });
  await Promise.all(registered);
  await hanging.stop(true);
});

test.concurrent("what cannot be a node is refused as by /nodes/add", async () => {
  await using proxy = await startProxy();
  for (const body of [
    { url: "http://169.254.169.254" },
    { url: "grpc://a:1" },
    { url: "http://a:1", worker_type: "prefill" },
    { url: "http://a:1", worker_type: "encode" },
    {},
  ]) {
    expect([body, (await call(proxy, "POST", "/workers", body)).status]).toEqual([body, 400]);
  }
});

test.concurrent("/readiness counts nodes; /finish_session is understood", async () => {
  await using node = startRecordingNode();
  await using proxy = await startProxy(["--node", node.url, "http://127.0.0.1:9"]);
  await until("one is ready", async () => (await call(proxy, "GET", "/readiness")).status === 200);
  const ready = await call(proxy, "GET", "/readiness");
  expect(ready.json).toEqual({ status: "ready", healthy_workers: 1, total_workers: 2 });
  await using down = await startProxy(["--node", "http://127.0.0.1:9"]);
  expect(await call(down, "GET", "/readiness")).toMatchObject({
    status: 503,
    json: {
      error: { code: "service_unavailable" },
      status: "not_ready",
      healthy_workers: 0,
      total_workers: 1,
    },
  });
  const flags = ["--serving-strategy", "DistServe", "--prefill", node.url, "http://127.0.0.1:9"];
  await using apart = await startProxy([
    ...flags,
    "--decode",
    node.url.replace("127.0.0.1", "localhost"),
  ]);
  const both = async () => await call(apart, "GET", "/readiness");
  await until("both roles are ready", async () => (await both()).status === 200);
  expect((await both()).json).toMatchObject({
    prefill: { healthy: 1, total: 2 },
    decode: { healthy: 1, total: 1 },
  });
  expect(await call(proxy, "POST", "/finish_session?session_id=s")).toMatchObject({
    status: 200,
    json: { status: "ok", session_id: "s" },
  });
});

test.concurrent("registrations are an engine's, the rest an administrator's", async () => {
  await using proxy = await startProxy(["--admin-key", "sk-admin", "--trust-nodes", "127.0.0.1"]);
  expect((await call(proxy, "POST", "/workers", { url: "http://127.0.0.1:9" })).status).toBe(202);
  for (const [method, target] of [
    ["GET", "/workers"],
    ["GET", "/workers/x"],
    ["DELETE", "/workers/x"],
    ["GET", "/list_workers"],
    ["GET", "/get_loads"],
    ["POST", "/remove_worker?url=http://127.0.0.1:9"],
  ] as const) {
    expect([target, (await call(proxy, method, target)).status]).toEqual([target, 401]);
  }
});

describe("a proxy before two engines", () => {
  let node: RecordingNode;
  let other: RecordingNode;
  let proxy: ProxyProcess;

  beforeAll(async () => {
    [node, other] = [startRecordingNode(["a"]), startRecordingNode(["b"])];
    proxy = await startProxy(["--node", node.url, other.url]);
    await untilHealthy(proxy, 2);
  });
  afterAll(async () => {
    for (const one of [proxy, node, other]) await one[Symbol.asyncDispose]();
  });

  test.each([
    "/health_generate",
    "/get_model_info",
    "/model_info",
    "/get_server_info",
    "/server_info",
    "/version",
  ])("GET %s is one node's own answer", async (path) => {
    const asked = ({ asked: all }: RecordingNode) => all.filter((call) => call === `GET ${path}`);
    const answer = await call(proxy, "GET", `${path}?model=a`);
    expect(answer).toMatchObject({ status: 200, json: { port: Number(new URL(node.url).port) } });
    expect([asked(node), asked(other)]).toEqual([[`GET ${path}`], []]);
    const ofAny = await call(proxy, "GET", path);
    expect(ofAny.status).toBe(path.endsWith("model_info") ? 400 : 200);
    expect((await call(proxy, "GET", `${path}?model=c`)).status).toBe(404);
  });

  test.each([
    ["POST", "/update_weights_from_disk", "POST /nodes/call"],
    ["POST", "/init_weights_update_group", "POST /nodes/call"],
    ["POST", "/collective_rpc", "POST /nodes/call"],
    ["POST", "/v1/update_weights", "POST /nodes/call"],
    ["GET", "/v1/loads", "/nodes/status"],
    ["GET", "/v1/rl/workers", "/workers"],
    ["POST", "/v1/rl/engine/pause?selector=all", "POST /nodes/call"],
    ["GET", "/wasm", "/docs"],
  ])("%s %s is not here, and its 404 says what is: %s", async (method, path, instead) => {
    const answer = await fetch(proxy.url + path, {
      method,
      ...(method === "POST" && { body: "{}" }),
    });
    expect(answer.status).toBe(404);
    expect(Object(await answer.json()).error.message).toContain(instead);
  });
});

test.concurrent("clients who ask the same at once have an engine asked once", async () => {
  let asked = 0;
  const gate = Promise.withResolvers<void>();
  await using engine = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      if (new URL(request.url).pathname !== "/health_generate") return Response.json({ data: [] });
      asked += 1;
      await gate.promise;
      return new Response();
    },
  });
  await using proxy = await startProxy(["--node", engine.url.origin]);
  await until("it is ready", async () => (await call(proxy, "GET", "/ready")).status === 200);
  const answers = Array.from({ length: 20 }, () => call(proxy, "GET", "/health_generate"));
  await until("one asks", () => asked > 0);
  // Over connections of their own, which come after theirs.
  for (let i = 0; i < 3; i += 1) {
    await (await fetch(`${proxy.url}/health`, { headers: { connection: "close" } })).bytes();
  }
  gate.resolve();
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(20).fill(200));
  expect(asked).toBeLessThanOrEqual(2);
});

test.concurrent("inference outside /v1 and the paths of --forward go to engines, changes of engines do not", async () => {
  await using node = startRecordingNode();
  await using proxy = await startProxy(["--node", node.url, "--forward", "/my/inference"]);
  await untilHealthy(proxy);
  const paths = ["/inference/v1/generate", "/classify", "/encode", "/invocations", "/my/inference"];
  for (const path of paths) {
    expect([path, (await call(proxy, "POST", path, { model: "tiny" })).status]).toEqual([
      path,
      200,
    ]);
  }
  expect(node.asked).toEqual(paths.map((path) => `POST ${path} {"model":"tiny"}`));
  expect((await call(proxy, "POST", "/not/forwarded", {})).status).toBe(404);
});
