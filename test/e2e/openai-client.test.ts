import { afterAll, beforeAll, expect, test } from "bun:test";
import OpenAI from "openai";
import { startEngine } from "../../src/sim/api-server.ts";
import type { RunningEngine } from "../../src/sim/engine-options.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

let engine: RunningEngine;
let proxy: ProxyProcess;
let client: OpenAI;

beforeAll(async () => {
  engine = await startEngine({ models: ["m"], timeScale: 0 });
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
});
