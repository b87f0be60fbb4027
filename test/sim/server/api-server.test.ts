import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import type { RunningEngine } from "../../../src/sim/server/engine-options.ts";
import { engineStarter, HI, post, until } from "./running.ts";

const start = engineStarter();

function clientOf(engine: RunningEngine, apiKey = "none"): OpenAI {
  return new OpenAI({ baseURL: `${engine.url}/v1`, apiKey, maxRetries: 0 });
}

const HELLO = [{ role: "user" as const, content: "hello" }];

const WEATHER = {
  type: "function" as const,
  function: {
    name: "weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" } },
      required: ["city", "days"],
    },
  },
};

describe("the openai client is content with", () => {
  test("a chat completion: text, a reason and usage that adds up", async () => {
    const client = clientOf(await start());
    const answer = await client.chat.completions.create({ model: "tiny", messages: HELLO });
    expect(answer.choices[0]?.message.content).not.toBe("");
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    const { usage } = answer;
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
  });

  test("a streamed one, which says the same and ends with usage", async () => {
    const client = clientOf(await start());
    const body = { model: "tiny", messages: HELLO, max_tokens: 9 };
    const whole = await client.chat.completions.create(body);
    const stream = await client.chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let tokens = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expect(text).toBe(whole.choices[0]?.message.content ?? "");
    expect(tokens).toBe(9);
  });

  test("several choices, streamed and not", async () => {
    const client = clientOf(await start());
    const body = { model: "tiny", messages: HELLO, n: 3 };
    const whole = await client.chat.completions.create(body);
    expect(whole.choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
    const seen = new Set<number>();
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
      for (const choice of chunk.choices) seen.add(choice.index);
    }
    expect([...seen]).toEqual([0, 1, 2]);
  });

  test("a tool call, streamed and not, and text once the tool has answered", async () => {
    const client = clientOf(await start());
    const body = { model: "tiny", messages: HELLO, tools: [WEATHER] };
    const whole = await client.chat.completions.create(body);
    const call = whole.choices[0]?.message.tool_calls?.[0];
    if (call?.type !== "function") throw new Error("no function call");
    expect(call.function.name).toBe("weather");
    expect(JSON.parse(call.function.arguments)).toMatchObject({
      city: expect.any(String),
      days: 3,
    });
    const final = await client.chat.completions.stream(body).finalChatCompletion();
    const streamed = final.choices[0]?.message.tool_calls?.[0];
    if (streamed?.type !== "function") throw new Error("no function call in the stream");
    expect(streamed.function.arguments).toBe(call.function.arguments);
    expect(final.choices[0]?.finish_reason).toBe("tool_calls");
    const messages = [...HELLO, { role: "tool" as const, tool_call_id: call.id, content: "sunny" }];
    const after = await client.chat.completions.create({ ...body, messages });
    expect(after.choices[0]?.message.content).not.toBe("");
  });

  test("completions of one prompt and of a list, streamed and not", async () => {
    const client = clientOf(await start());
    const one = await client.completions.create({ model: "tiny", prompt: "once", max_tokens: 5 });
    expect(one.choices).toHaveLength(1);
    expect(one.usage?.completion_tokens).toBe(5);
    const prompt = ["once", "upon", "a time"];
    // LMDeploy takes no notice of n here.
    const list = await client.completions.create({ model: "tiny", prompt, n: 2 });
    expect(list.choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
    const vllm = clientOf(await start({ kind: "vllm" }));
    const all = await vllm.completions.create({ model: "tiny", prompt, n: 2 });
    expect(all.choices.map((choice) => choice.index)).toEqual([0, 1, 2, 3, 4, 5]);
    let text = "";
    const body = { model: "tiny", prompt: "once", max_tokens: 5, stream: true } as const;
    for await (const chunk of await client.completions.create(body)) text += chunk.choices[0]?.text;
    expect(text).toBe(one.choices[0]?.text ?? "");
  });

  test("responses, streamed and not, with and without tools", async () => {
    const client = clientOf(await start());
    const body = { model: "tiny", input: "hello", max_output_tokens: 7 };
    const whole = await client.responses.create(body);
    expect(whole.output_text).not.toBe("");
    expect(whole.status).toBe("incomplete");
    const streamed = await client.responses.stream(body).finalResponse();
    expect(streamed.output_text).toBe(whole.output_text);
    const tools = [{ type: "function" as const, strict: false, ...WEATHER.function }];
    const called = await client.responses.create({ model: "tiny", input: "hello", tools });
    expect(called.output[0]).toMatchObject({ type: "function_call", name: "weather" });
    const input = [{ type: "function_call_output" as const, call_id: "call_0", output: "sunny" }];
    const after = await client.responses.create({ model: "tiny", input, tools });
    expect(after.output_text).not.toBe("");
  });

  test("vLLM's embeddings as numbers and as base64, and models", async () => {
    const served = ["tiny", "tiny-adapter"];
    const client = clientOf(await start({ kind: "vllm", models: served }));
    const input = ["a", "b"];
    const numbers = await client.embeddings.create({
      model: "tiny",
      input,
      encoding_format: "float",
    });
    const decoded = await client.embeddings.create({ model: "tiny", input });
    expect(decoded.data[1]?.embedding).toEqual(numbers.data[1]?.embedding ?? []);
    expect(decoded.data[0]?.embedding).not.toEqual(decoded.data[1]?.embedding ?? []);
    const models = await client.models.list();
    expect(models.data.map((model) => model.id)).toEqual(["tiny", "tiny-adapter"]);
    expect((await client.models.retrieve("tiny-adapter")).id).toBe("tiny-adapter");
  });

  test("errors: an unknown model is 404, a wrong key 401", async () => {
    const engine = await start({ apiKey: "s3cret" });
    const body = { model: "huge", messages: HELLO };
    for (const [key, status] of [
      ["s3cret", 404],
      ["other", 401],
    ] as const) {
      const failure = await clientOf(engine, key)
        .chat.completions.create(body)
        .catch((e) => e);
      expect(failure).toBeInstanceOf(OpenAI.APIError);
      expect(failure.status).toBe(status);
    }
    expect((await fetch(`${engine.url}/health`)).status).toBe(200);
  });
});

describe("a client that leaves", () => {
  const paths = [
    ["/v1/chat/completions", { messages: HELLO, stream: true }],
    ["/v1/chat/completions", { messages: HELLO }],
    ["/v1/completions", { prompt: "once", stream: true }],
    ["/v1/responses", { input: "hello", stream: true }],
    ["/generate", { prompt: "once" }],
  ] as const;

  test.each(paths)("before the first token frees its sequence: %s %o", async (path, body) => {
    const engine = await start({ timeScale: 1_000 });
    const gone = new AbortController();
    const request = post(engine.url + path, body, { signal: gone.signal }).then((r) => r.text());
    await until(() => engine.state().running === 1);
    gone.abort();
    await expect(request).rejects.toThrow();
    await until(() => engine.state().openRequests === 0);
    expect(engine.state()).toMatchObject({ running: 0, usedBlocks: 0, cancelledRequests: 1 });
  });

  test("in mid-stream frees its sequence", async () => {
    const engine = await start({ timeScale: 0.1 });
    const body = { messages: HELLO, stream: true, max_tokens: 10_000, ignore_eos: true };
    const answer = await post(`${engine.url}/v1/chat/completions`, body);
    const reader = answer.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await until(() => engine.state().openRequests === 0);
    expect(engine.state()).toMatchObject({ running: 0, usedBlocks: 0, cancelledRequests: 1 });
  });

  test("hundreds of them leave nothing behind", async () => {
    const engine = await start({ timeScale: 0.01 });
    const body = { messages: HELLO, stream: true, max_tokens: 100, ignore_eos: true };
    const clients = Array.from({ length: 400 }, async (_, i) => {
      const signal = i % 3 === 0 ? AbortSignal.timeout(1 + (i % 40)) : null;
      await post(`${engine.url}/v1/chat/completions`, body, { signal })
        .then((answer) => answer.text())
        .catch(() => "");
    });
    await Promise.all(clients);
    await until(() => engine.state().openRequests === 0);
    const state = engine.state();
    expect(state).toMatchObject({ running: 0, waiting: 0, usedBlocks: 0, failedRequests: 0 });
    expect(state.completedRequests + state.cancelledRequests).toBe(state.totalRequests);
  });
});

test("fields it does not know are accepted", async () => {
  const engine = await start();
  const body = { messages: HI, top_k: 3, chat_template_kwargs: { a: 1 }, x: [null] };
  expect((await post(`${engine.url}/v1/chat/completions`, body)).status).toBe(200);
});

test("the last body and the headers are kept as they came", async () => {
  const engine = await start();
  const body = ' {"messages":["héllo\\u00e9"] ,"model":"tiny", "a" :1.0}\n';
  await fetch(`${engine.url}/v1/chat/completions`, {
    method: "POST",
    body,
    headers: { "X-Canary": "tweet" },
  });
  const { lastBodyBase64, lastRequests, requestsByPath } = engine.state();
  expect(Buffer.from(lastBodyBase64, "base64").toString()).toBe(body);
  expect(lastRequests.at(-1)?.headers["x-canary"]).toBe("tweet");
  expect(requestsByPath["/v1/chat/completions"]).toBe(1);
  expect(await (await fetch(`${engine.url}/debug/state`)).json()).toMatchObject({
    totalRequests: 1,
  });
});
