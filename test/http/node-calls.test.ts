/** Calls to all engines, or some: what they get, what is answered, and what the proxy knows afterwards. */
import { expect, test } from "bun:test";
import { ask } from "../support/ask.ts";
import { startEngineProcess } from "../support/engine-process.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { startRecordingNode } from "../support/recording-node.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

async function post(proxy: ProxyProcess, target: string, body?: unknown, key?: string) {
  const answer = await fetch(proxy.url + target, {
    method: "POST",
    headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: Object(await answer.json()) };
}

test("every node gets the body and the query, and one answer tells what each answered", async () => {
  await using one = startRecordingNode();
  await using two = startRecordingNode();
  await using proxy = await startProxy(["--node", one.url, two.url]);
  const { status, body } = await post(proxy, "/abort_request?x=1", { rid: "r" });
  expect(status).toBe(200);
  expect(one.asked).toEqual(['POST /abort_request?x=1 {"rid":"r"}']);
  expect(two.asked).toEqual(one.asked);
  expect(body).toMatchObject({ total: 2, succeeded: 2, failed: [] });
  const port = Number(new URL(one.url).port);
  expect(body.results[one.url]).toMatchObject({ status: 200, body: { port } });
});

test.each(["1", "2"])(
  "what an abort ends does not begin anew on another node, with %s workers",
  async (workers) => {
    const flags = ["--enable-abort-handling"];
    await using one = await startEngineProcess({ flags, timeScale: 1 });
    await using two = await startEngineProcess({ flags, timeScale: 1 });
    await using proxy = await startProxy(["--workers", workers, "--node", one.url, two.url]);
    await untilHealthy(proxy, 2);
    const long = { model: "tiny", max_tokens: 100_000, ignore_eos: true, session_id: 7 };
    const chat = { ...long, messages: [{ role: "user", content: "hi" }] };
    const asked = fetch(`${proxy.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(chat),
    });
    // One node has it, once it has come so far; the other has nothing to do.
    await until("it is aborted", async () => {
      const { status, body } = await post(proxy, "/abort_request", { session_id: 7 });
      return status === 200 && body.failed.length === 0;
    });
    expect(await (await asked).text()).toContain('"finish_reason":"abort"');
    const states = await Promise.all([one.state(), two.state()]);
    expect(states[0].totalRequests + states[1].totalRequests).toBe(1);
  },
);

test("the body passes as it came, also what JSON in JavaScript cannot hold", async () => {
  await using node = startRecordingNode();
  await using proxy = await startProxy(["--node", node.url]);
  const body = '{ "rid": 12345678901234567890, "x": 1.0 }';
  const answer = await fetch(`${proxy.url}/abort_request`, { method: "POST", body });
  expect(answer.status).toBe(200);
  expect(node.asked).toEqual([`POST /abort_request ${body}`]);
});

test("some failing is 207, all failing 502, no node 503", async () => {
  await using one = startRecordingNode();
  await using two = startRecordingNode();
  await using proxy = await startProxy(["--node", one.url, two.url]);
  two.status = 500;
  const some = await post(proxy, "/flush_cache");
  expect(some.status).toBe(207);
  expect(some.body).toMatchObject({
    ...{ total: 2, succeeded: 1, failed: [two.url] },
    ...{ status: "partial_success", workers_flushed: 1, total_workers: 2 },
  });
  await two[Symbol.asyncDispose]();
  one.status = 400;
  const all = await post(proxy, "/pause_generation");
  expect(all.status).toBe(502);
  expect(all.body.results[two.url]).toMatchObject({ status: null, error: expect.any(String) });
  await using empty = await startProxy();
  expect((await post(empty, "/flush_cache")).status).toBe(503);
});

test("what is nested too deeply to be written again is told as text, or refused", async () => {
  const deep = "[".repeat(200_000) + "]".repeat(200_000);
  using odd = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(deep) });
  await using well = startRecordingNode();
  await using proxy = await startProxy(["--node", odd.url.origin, well.url]);
  const { status, body } = await post(proxy, "/flush_cache");
  expect([status, body.total]).toEqual([200, 2]);
  expect(body.results[odd.url.origin].body).toBe(deep);
  expect(body.results[well.url].status).toBe(200);
  const refused = await fetch(`${proxy.url}/nodes/call`, {
    method: "POST",
    body: `{"path": "/x", "body": ${deep}}`,
  });
  expect(refused.status).toBe(400);
  expect(await refused.text()).toContain("too deeply");
});

test("?url= and ?model= narrow it, and are not passed on", async () => {
  await using one = startRecordingNode(["a"]);
  await using two = startRecordingNode(["b"]);
  await using proxy = await startProxy(["--node", one.url, two.url]);
  await untilHealthy(proxy, 2);
  expect((await post(proxy, `/resume?url=${encodeURIComponent(`${one.url}/`)}`)).body.total).toBe(
    1,
  );
  expect((await post(proxy, "/resume?model=b&y=2")).body.total).toBe(1);
  expect(one.asked).toEqual(["POST /resume"]);
  expect(two.asked).toEqual(["POST /resume?y=2"]);
  expect((await post(proxy, "/resume?url=http://127.0.0.1:9")).status).toBe(404);
  expect((await post(proxy, "/resume?model=c")).status).toBe(404);
});

test("/nodes/call takes any path of an engine, and no other host", async () => {
  await using node = startRecordingNode();
  await using proxy = await startProxy(["--node", node.url]);
  const call = (body: object) => post(proxy, "/nodes/call", body);
  const weights = { path: "/update_weights_from_disk", body: { model_path: "/w" }, timeout_s: 5 };
  expect((await call(weights)).status).toBe(200);
  expect((await call({ path: "/get_load?x=1", method: "GET" })).status).toBe(200);
  expect(node.asked).toEqual([
    'POST /update_weights_from_disk {"model_path":"/w"}',
    "GET /get_load?x=1",
  ]);
  for (const path of [
    "get_load",
    "@127.0.0.1:9/",
    ":9/",
    "http://127.0.0.1:9/",
    "/a b",
    "/a\r\nb",
  ]) {
    expect([path, (await call({ path })).status]).toEqual([path, 400]);
  }
  expect((await call({ path: "/x", method: "GET", body: 1 })).status).toBe(400);
  expect(node.asked).toHaveLength(2);
});

test("a node that does not answer is told after its time limit", async () => {
  const hanging = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Promise(() => {}) });
  await using proxy = await startProxy(["--node", hanging.url.origin]);
  const { status, body } = await post(proxy, "/nodes/call", { path: "/x", timeout_s: 0.2 });
  expect(status).toBe(502);
  expect(body.results[hanging.url.origin].error).toContain("0.2 s");
  await hanging.stop(true);
});

test.each([
  ["vLLM", "/v1/load_lora_adapter"],
  ["SGLang", "/load_lora_adapter"],
])("an adapter that is loaded by the path of %s is served at once", async (_, path) => {
  await using node = startRecordingNode();
  await using proxy = await startProxy(["--node", node.url]);
  await untilHealthy(proxy);
  const { status } = await post(proxy, path, { lora_name: "adapter", lora_path: "/a" });
  expect(status).toBe(200);
  expect((await ask(proxy, { model: "adapter" })).status).toBe(200);
});

test("a node asleep gets nothing before any probe says so, and again once it is woken", async () => {
  await using engine = await startEngineProcess();
  // No probe in the time of this test.
  await using proxy = await startProxy(["--node", engine.url, "--health-interval", "600"]);
  await untilHealthy(proxy);
  expect((await post(proxy, "/sleep?level=1")).status).toBe(200);
  const states = async () => Object.values(await proxy.status()).map(({ state }) => state);
  expect(await states()).toEqual(["sleeping"]);
  expect((await ask(proxy)).status).toBe(503);
  expect((await post(proxy, "/wakeup")).status).toBe(200);
  await until("it is healthy", async () => (await states())[0] === "healthy");
  expect((await ask(proxy)).status).toBe(200);
});

test.each(["1", "2"])(
  "whether engines sleep: true until the last is awake, and who of them did not say (%s workers)",
  async (workers) => {
    const flags = ["--kind", "vllm"];
    await using one = await startEngineProcess({ flags });
    await using two = await startEngineProcess({ flags });
    await using proxy = await startProxy(["--workers", workers, "--node", one.url, two.url]);
    const asked = async (query = "") => {
      const answer = await fetch(`${proxy.url}/is_sleeping${query}`);
      return { status: answer.status, body: Object(await answer.json()) };
    };
    expect(await asked()).toMatchObject({
      status: 200,
      body: { is_sleeping: false, sleeping: 0, total: 2, succeeded: 2, failed: [] },
    });
    expect((await post(proxy, `/sleep?url=${encodeURIComponent(two.url)}`)).status).toBe(200);
    expect(await asked()).toMatchObject({
      status: 200,
      body: {
        ...{ is_sleeping: true, sleeping: 1 },
        results: { [one.url]: { status: 200, body: { is_sleeping: false } } },
      },
    });
    expect((await asked(`?url=${one.url}`)).body).toMatchObject({ is_sleeping: false, total: 1 });
    expect((await post(proxy, "/wake_up")).status).toBe(200);
    expect((await asked()).body).toMatchObject({ is_sleeping: false });
    const exited = one.exited;
    one.kill("SIGKILL");
    await exited;
    expect(await asked()).toMatchObject({
      status: 207,
      body: { is_sleeping: false, failed: [one.url] },
    });
    const none = await asked(`?url=${one.url}`);
    expect(none.status).toBe(502);
    expect(none.body).not.toHaveProperty("is_sleeping");
  },
);

test("an engine without the question is awake; where no engine has it, it is not there", async () => {
  await using sleeper = startRecordingNode();
  const without = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response("{}", { status: 404 }),
  });
  await using proxy = await startProxy(["--node", sleeper.url, without.url.origin]);
  const ask = (url: string) => fetch(`${proxy.url}/is_sleeping?url=${url}`);
  expect((await ask(without.url.origin)).status).toBe(404);
  // An answer that holds no such word says nothing.
  expect((await ask(sleeper.url)).status).toBe(502);
  await using engine = await startEngineProcess();
  await using mixed = await startProxy(["--node", engine.url, without.url.origin]);
  const both = await fetch(`${mixed.url}/is_sleeping`);
  expect(both.status).toBe(200);
  expect(await both.json()).toMatchObject({
    is_sleeping: false,
    total: 2,
    succeeded: 1,
    failed: [],
  });
  await without.stop(true);
});

test("only administrators call engines", async () => {
  await using node = startRecordingNode();
  const keys = ["--api-keys", "sk-client", "--admin-key", "sk-admin"];
  await using proxy = await startProxy(["--node", node.url, ...keys]);
  for (const target of ["/flush_cache", "/sleep", "/v1/load_lora_adapter", "/nodes/call"]) {
    expect((await post(proxy, target, { path: "/x" })).status).toBe(401);
    expect((await post(proxy, target, { path: "/x" }, "sk-client")).status).toBe(401);
  }
  const headers = { authorization: "Bearer sk-client" };
  expect((await fetch(`${proxy.url}/is_sleeping`, { headers })).status).toBe(401);
  expect(node.asked).toEqual([]);
  expect((await post(proxy, "/flush_cache", undefined, "sk-admin")).status).toBe(200);
});
