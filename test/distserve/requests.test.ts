/** DistServe as a client sees it, and what the nodes' counters say meanwhile. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { type Cluster, count, MODEL, messageOf, only, startCluster } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";

function post(url: string, body: object): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: MODEL, ...body }),
  });
}

test("the OpenAI client gets whole answers and streams, from chat and completions", async () => {
  await using cluster = await startCluster({
    prefills: 2,
    decodes: 2,
    engine: { needsProxyHeader: true },
  });
  const client = new OpenAI({ baseURL: `${cluster.proxy.url}/v1`, apiKey: "any", maxRetries: 0 });
  const messages = [{ role: "user" as const, content: "Tell me." }];
  const whole = await client.chat.completions.create({ model: MODEL, messages, max_tokens: 9 });
  expect(whole.usage?.completion_tokens).toBe(9);
  const stream = await client.chat.completions.create({
    model: MODEL,
    messages,
    max_tokens: 9,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let tokens = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  expect([text, tokens]).toEqual([whole.choices[0]?.message.content ?? "", 9]);
  const completion = await client.completions.create({
    model: MODEL,
    prompt: "Once",
    max_tokens: 3,
  });
  expect(completion.choices[0]?.finish_reason).toBe("length");
  const pieces = await client.completions.create({ model: MODEL, prompt: "Twice", stream: true });
  let last: string | null | undefined;
  for await (const piece of pieces) last = piece.choices[0]?.finish_reason;
  expect(last).toBeOneOf(["stop", "length"]);
  await cluster.quiet();
  // The decode engines told the prefill engines themselves.
  expect(count(cluster, "prefills", "/distserve/free_cache")).toBe(0);
  const [line] = await until("it is logged", () =>
    /^\{.*"msg":"request".*$/m.exec(cluster.proxy.log()),
  );
  const { node, prefill_node, ...fields } = JSON.parse(line);
  expect(cluster.decodes.map(({ url }) => url)).toContain(node);
  expect(cluster.prefills.map(({ url }) => url)).toContain(prefill_node);
  expect(fields).toMatchObject({ output_tokens: 9, cached_tokens: 0 });
});

test("a streamed answer counts on the decode node, and its session stays, until the last byte", async () => {
  await using cluster = await startCluster({ engine: { timeScale: 1 } });
  const [prefill, decode] = [only(cluster.prefills), only(cluster.decodes)];
  const gone = new AbortController();
  const body = { stream: true, max_tokens: 400, ignore_eos: true };
  const answer = await cluster.chat(body, { signal: gone.signal });
  const reader = answer.body?.getReader();
  await reader?.read();
  decode.setPace(0);
  const during = await cluster.proxy.status();
  expect(during[prefill.url]).toMatchObject({ unfinished: 0, open_sessions: 1, pairs: 1 });
  expect(during[decode.url]).toMatchObject({ unfinished: 1, open_sessions: 0, pairs: 1 });
  decode.setPace(10);
  while (!(await reader?.read())?.done);
  await until("it is over", async () => {
    const after = await cluster.proxy.status();
    return after[decode.url]?.unfinished === 0 && after[prefill.url]?.open_sessions === 0;
  });
  expect(count(cluster, "prefills", "/distserve/free_cache")).toBe(0);
  const { latency } = (await cluster.proxy.status())[decode.url] ?? {};
  // 400 steps of 0.75 ms: measured to the last byte, not to the first.
  expect(latency?.[0]).toBeGreaterThan(0.2);
});

describe("what cannot be handed over", () => {
  let cluster: Cluster;

  test("is refused by what the request is", async () => {
    cluster = await startCluster();
    const refusals: readonly (readonly [string, object, number, string])[] = [
      [CHAT, { messages: "x", n: 2 }, 400, "`n`"],
      ["/v1/completions", { prompt: ["a", "b"] }, 400, "one prompt"],
      ["/generate", { prompt: "x" }, 501, "/generate"],
      ["/v1/responses", { input: "x" }, 501, "/v1/responses"],
      ["/v1/messages", { messages: [] }, 501, "/v1/messages"],
      ["/v1/messages/count_tokens", { messages: [] }, 501, "count_tokens"],
      ["/v1/embeddings", { input: "x" }, 501, "/v1/embeddings"],
      ["/v1/encode", { input: "x" }, 501, "/v1/encode"],
      ["/pooling", { input: "x" }, 501, "/pooling"],
      ["/get_ppl", { input: "x" }, 501, "/get_ppl"],
      ["/v1/rerank", { query: "x", documents: ["y"] }, 501, "/v1/rerank"],
      ["/rerank", { query: "x", documents: ["y"] }, 501, "/rerank"],
      ["/tokenize", { prompt: "x" }, 501, "/tokenize"],
      ["/v1/audio/speech", { input: "x" }, 501, "/v1/audio/speech"],
    ];
    for (const [path, body, status, part] of refusals) {
      const answer = await post(cluster.proxy.url + path, body);
      expect([path, answer.status, await messageOf(answer)]).toEqual([
        path,
        status,
        expect.stringContaining(part),
      ]);
    }
    expect(count(cluster, "prefills", CHAT) + count(cluster, "decodes", CHAT)).toBe(0);
  });

  test("in the dialect of the path", async () => {
    const answer = await post(`${cluster.proxy.url}/v1/messages`, { messages: [] });
    expect(await answer.json()).toMatchObject({ type: "error", error: { type: "api_error" } });
  });

  test("before a body of any size is read, and not before the key", async () => {
    const flags = ["--serving-strategy", "DistServe", "--api-keys", "secret", "--max-body", "10"];
    await using proxy = await startProxy(flags);
    const body = { prompt: "much longer than ten bytes" };
    expect((await post(`${proxy.url}/generate`, body)).status).toBe(401);
    const authorization = "Bearer secret";
    const init = { method: "POST", body: JSON.stringify(body), headers: { authorization } };
    expect((await fetch(`${proxy.url}/generate`, init)).status).toBe(501);
    await cluster[Symbol.asyncDispose]();
  });
});

describe("limits", () => {
  test("per node make requests wait for either role, and no session piles up", async () => {
    await using cluster = await startCluster({
      prefills: 2,
      decodes: 1,
      engine: { timeScale: 0.2 },
      flags: ["--max-concurrency-per-node", "2"],
    });
    let mostKept = 0;
    let mostRunning = 0;
    const looking = setInterval(() => {
      const kept = cluster.prefills.map((engine) => engine.state().preservedSessions);
      mostKept = Math.max(
        mostKept,
        kept.reduce((sum, one) => sum + one, 0),
      );
      for (const engine of [...cluster.prefills, ...cluster.decodes]) {
        mostRunning = Math.max(mostRunning, engine.state().openRequests);
      }
    }, 1);
    const answers = await Promise.all(Array.from({ length: 60 }, () => cluster.chat()));
    clearInterval(looking);
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(mostRunning).toBeWithin(1, 3);
    expect(mostKept).toBeWithin(1, 3);
    await cluster.quiet();
  });

  test("of the proxy count both steps as the one request they are", async () => {
    await using cluster = await startCluster({
      engine: { timeScale: 0.2 },
      flags: ["--max-concurrency", "3", "--queue-size", "100"],
    });
    let most = 0;
    const looking = setInterval(() => {
      const [prefill, decode] = [only(cluster.prefills).state(), only(cluster.decodes).state()];
      most = Math.max(most, prefill.openRequests + decode.openRequests);
    }, 1);
    const answers = await Promise.all(Array.from({ length: 40 }, () => cluster.chat()));
    clearInterval(looking);
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(most).toBeWithin(1, 4);
  });
});

test("control-plane fields of a client reach no engine, in Hybrid mode neither", async () => {
  const seen: string[] = [];
  await using engine = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      if (request.method === "POST") seen.push(await request.text());
      return Response.json({ object: "list", data: [{ id: MODEL }] });
    },
  });
  await using proxy = await startProxy(["--node", engine.url.origin]);
  await until("the node is healthy", async () =>
    Object.values(await proxy.status()).every(({ state }) => state === "healthy"),
  );
  const fields = { with_cache: true, preserve_cache: true, migration_request: { x: 1 } };
  await post(proxy.url + CHAT, { ...fields, messages: "x" });
  expect(seen).toEqual([`{"model":"${MODEL}","messages":"x"}`]);
});
