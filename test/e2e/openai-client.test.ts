import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

let engine: RunningEngine;
let proxy: ProxyProcess;
let client: OpenAI;

beforeAll(async () => {
  engine = await startEngine({ models: ["m"], voice: "tricky", timeScale: 0 });
  proxy = await startProxy(["--node", engine.url]);
  await until("the node is healthy", async () =>
    Object.values(await proxy.status()).every(
      ({ state, models }) => state === "healthy" && models.length > 0,
    ),
  );
  client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: "any", maxRetries: 0 });
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop(true);
});

test("chat, whole and streamed, gives the same text", async () => {
  const messages = [{ role: "user" as const, content: "Tell me." }];
  const whole = await client.chat.completions.create({
    model: "m",
    messages,
    seed: 1,
    max_tokens: 12,
  });
  expect(whole.choices[0]?.message.content).toBeTruthy();
  const stream = await client.chat.completions.create({
    model: "m",
    messages,
    seed: 1,
    max_tokens: 12,
    stream: true,
    stream_options: { include_usage: true },
  });
  let pieces = 0;
  let completionTokens = 0;
  for await (const chunk of stream) {
    pieces += 1;
    completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
  }
  expect(pieces).toBeGreaterThan(2);
  expect(completionTokens).toBe(12);
});

const weather: OpenAI.Chat.Completions.ChatCompletionTool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

test("tools: a call comes back whole, and streamed in pieces that make the same call", async () => {
  const asked = {
    model: "m",
    messages: [{ role: "user" as const, content: "Weather in Bern?" }],
    tools: [weather],
    tool_choice: "required" as const,
    seed: 3,
  };
  const whole = await client.chat.completions.create(asked);
  const call = whole.choices[0]?.message.tool_calls?.[0];
  if (call?.type !== "function") throw new Error("no call of a function");
  expect(call.function.name).toBe("get_weather");
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    streamed += chunk.choices[0]?.delta.tool_calls?.[0]?.function?.arguments ?? "";
  }
  expect(JSON.parse(streamed)).toEqual(JSON.parse(call.function.arguments));
});

test("completions, whole and streamed", async () => {
  const asked = { model: "m", prompt: "Once upon", max_tokens: 6, seed: 2 };
  const whole = await client.completions.create(asked);
  let streamed = "";
  for await (const chunk of await client.completions.create({ ...asked, stream: true })) {
    streamed += chunk.choices[0]?.text ?? "";
  }
  expect(whole.usage?.completion_tokens).toBe(6);
  expect(streamed.length).toBeGreaterThan(0);
});

test("responses, whole and streamed with named events", async () => {
  const whole = await client.responses.create({ model: "m", input: "Hello", max_output_tokens: 6 });
  expect(whole.output_text.length).toBeGreaterThan(0);
  const types: string[] = [];
  const stream = await client.responses.create({ model: "m", input: "Hello", stream: true });
  for await (const event of stream) types.push(event.type);
  expect(types[0]).toBe("response.created");
  expect(types.at(-1)).toBe("response.completed");
});

test("embeddings, where an engine has them", async () => {
  const vllm = await startEngine({ models: ["e"], kind: "vllm" });
  await using other = await startProxy(["--node", vllm.url]);
  await untilHealthy(other);
  const embedder = new OpenAI({ baseURL: `${other.url}/v1`, apiKey: "any", maxRetries: 0 });
  const { data } = await embedder.embeddings.create({ model: "e", input: ["one", "two"] });
  expect(data.map(({ index }) => index)).toEqual([0, 1]);
  expect(data[0]?.embedding.length).toBeGreaterThan(0);
  const refused = await client.embeddings.create({ model: "m", input: "x" }).catch((e) => e);
  expect(refused.status).toBe(400);
  await vllm.stop(true);
});

test("a client that stops reading a stream frees the engine", async () => {
  const stream = await client.chat.completions.create({
    model: "m",
    messages: [{ role: "user", content: "Count." }],
    max_tokens: 4_000,
    stream: true,
  });
  for await (const _ of stream) break;
  await until("the engine is idle", () => engine.state().openRequests === 0);
});

test("an unknown model is an error the client understands", async () => {
  const asked = client.chat.completions.create({ model: "nope", messages: [] });
  const error = await asked.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OpenAI.APIError)) throw new Error("no API error");
  expect([error.status, error.code, error.param]).toEqual([404, "model_not_found", "model"]);
});

test("models are listed", async () => {
  const models = await client.models.list();
  expect(models.data.map(({ id }) => id)).toEqual(["m"]);
  expect((await client.models.retrieve("m")).id).toBe("m");
  const error = await client.models.retrieve("org/other").catch((thrown: unknown) => thrown);
  if (!(error instanceof OpenAI.APIError)) throw new Error("no API error");
  expect([error.status, error.code]).toEqual([404, "model_not_found"]);
});
