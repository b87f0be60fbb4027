/** What `lmdeploy serve proxy` does with keys, answers and names, for those who come from it. */
import { expect, test } from "bun:test";
import OpenAI from "openai";
import { ask } from "../support/ask.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { startRecordingNode } from "../support/recording-node.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

/** An engine that asks for a key, and keeps what it was asked with. */
function keyedEngine(key: string) {
  const seen: (string | null)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/health") return new Response();
      const given = request.headers.get("authorization") ?? request.headers.get("x-api-key");
      if (pathname === "/v1/completions") seen.push(given);
      if (given !== `Bearer ${key}`)
        return Response.json({ error: "Unauthorized" }, { status: 401 });
      return pathname === "/v1/models"
        ? Response.json({ object: "list", data: [{ id: "tiny", object: "model" }] })
        : Response.json({ choices: [] });
    },
  });
  return {
    url: server.url.origin,
    seen,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

const WITH_KEY = { headers: { authorization: "Bearer shared" } };

test.each([[["--forward-credentials"]], [["--as", "lmdeploy"]]])(
  "one key on proxy and engines works with %p",
  async (flags) => {
    await using engine = keyedEngine("shared");
    await using proxy = await startProxy(["--node", engine.url, "--api-keys", "shared", ...flags]);
    await untilHealthy(proxy, 1, "shared");
    expect((await ask(proxy, {}, WITH_KEY)).status).toBe(200);
    expect((await ask(proxy)).status).toBe(401);
    expect(engine.seen).toEqual(["Bearer shared"]);
  },
);

test("the admin key reaches no engine, whatever is forwarded", async () => {
  await using engine = keyedEngine("shared");
  await using proxy = await startProxy([
    ...["--node", engine.url, "--forward-credentials", "--api-keys", "ann:shared"],
    ...["--admin-key", "sk-admin"],
  ]);
  await untilHealthy(proxy, 1, "sk-admin");
  const both = { headers: { authorization: "Bearer shared", "x-api-key": "sk-admin" } };
  await ask(proxy, {}, both);
  await ask(proxy, {}, WITH_KEY);
  expect(engine.seen).toEqual([null, "Bearer shared"]);
});

test("without it, an engine is asked with its own key and never with a client's", async () => {
  await using engine = keyedEngine("engines");
  await using proxy = await startProxy([
    ...["--node", engine.url, "--api-keys", "shared", "--upstream-api-key", "engines"],
  ]);
  await untilHealthy(proxy, 1, "shared");
  expect((await ask(proxy, {}, WITH_KEY)).status).toBe(200);
  expect(engine.seen).toEqual(["Bearer engines"]);
});

async function change(proxy: ProxyProcess, path: string, url: string) {
  const answer = await fetch(proxy.url + path, { method: "POST", body: JSON.stringify({ url }) });
  return { status: answer.status, body: await answer.json() };
}

test("changes are answered by JSON strings with --as lmdeploy, by objects without", async () => {
  await using theirs = await startProxy(["--as", "lmdeploy"]);
  await using ours = await startProxy();
  const node = "http://127.0.0.1:9";
  expect(await change(theirs, "/nodes/add", node)).toEqual({
    status: 200,
    body: "Added successfully",
  });
  expect(await change(theirs, "/nodes/remove", node)).toEqual({
    status: 200,
    body: "Deleted successfully",
  });
  const all = await fetch(`${theirs.url}/nodes/terminate_all`);
  expect(await all.json()).toBe("Terminated successfully");
  expect(all.headers.get("x-request-id")).not.toBeNull();
  expect(all.headers.get("content-type")).toContain("application/json");
  expect((await change(ours, "/nodes/add", node)).body).toMatchObject({
    message: expect.stringMatching(/^Added/),
  });
});

test("an unknown model is what OpenAI's SDK reads, and with --as lmdeploy what LMDeploy's client does, too", async () => {
  await using node = startRecordingNode(["tiny"]);
  const error = {
    message: "The model `error` does not exist; served are: tiny.",
    ...{ type: "invalid_request_error", code: "model_not_found", param: "model" },
  };
  await using ours = await startProxy(["--node", node.url]);
  await untilHealthy(ours);
  const answer = await ask(ours, { model: "error" });
  expect([answer.status, await answer.json()]).toEqual([404, { error }]);
  await using theirs = await startProxy(["--node", node.url, "--as", "lmdeploy"]);
  await untilHealthy(theirs);
  // Its suite compares these three, of a stream as well.
  for (const stream of [false, true]) {
    const flat = await ask(theirs, { model: "error", stream });
    expect([flat.status, await flat.json()]).toEqual([
      404,
      {
        error,
        ...{ object: "error", code: 404, message: "The model `error` does not exist." },
        ...{ type: "invalid_request_error", param: "model" },
      },
    ]);
  }
  const client = new OpenAI({ baseURL: `${theirs.url}/v1`, apiKey: "-", maxRetries: 0 });
  const thrown = await client.completions
    .create({ model: "error", prompt: "x" })
    .catch((reason: unknown) => reason);
  expect(thrown).toBeInstanceOf(OpenAI.NotFoundError);
  expect(thrown).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
  const anthropic = await fetch(`${theirs.url}/v1/messages`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "error", max_tokens: 1, messages: [] }),
  });
  expect(await anthropic.json()).toEqual({
    type: "error",
    error: { type: "not_found_error", message: error.message },
    request_id: expect.any(String),
  });
});

test("an engine on 0.0.0.0 is removed, and with --as lmdeploy shown, by the name it registered with", async () => {
  await using proxy = await startProxy(["--as", "lmdeploy", "--trusted-proxies", "127.0.0.1"]);
  /** As from another machine. */
  const from = (address: string, path: string) =>
    fetch(proxy.url + path, {
      method: "POST",
      headers: { "x-forwarded-for": address },
      body: JSON.stringify({ url: "http://0.0.0.0:23333", models: ["m"] }),
    });
  const names = async () => Object.keys(await proxy.status());
  await from("10.9.9.7", "/nodes/add");
  expect(await names()).toEqual(["http://0.0.0.0:23333"]);
  expect((await from("10.9.9.99", "/nodes/remove")).status).toBe(200);
  expect(await names()).toEqual([]);

  await from("10.9.9.7", "/nodes/add");
  await from("10.9.9.8", "/nodes/add");
  expect(await names()).toEqual(["http://10.9.9.7:23333", "http://10.9.9.8:23333"]);
  const doubtful = await from("10.9.9.99", "/nodes/remove");
  expect(doubtful.status).toBe(400);
  expect(await doubtful.text()).toContain("http://10.9.9.7:23333, http://10.9.9.8:23333");
  await from("10.9.9.8", "/nodes/remove");
  await until("one is left", async () => (await names()).length === 1);
});
