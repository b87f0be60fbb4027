import { afterEach, describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { startEngine } from "../../src/sim/api-server.ts";
import type { EngineOptions, RunningEngine } from "../../src/sim/engine-options.ts";

const running: RunningEngine[] = [];

async function start(options: Partial<EngineOptions> = {}): Promise<RunningEngine> {
  const engine = await startEngine({ models: ["tiny"], ...options });
  running.push(engine);
  return engine;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((engine) => engine.stop(true)));
});

function clientOf(engine: RunningEngine): OpenAI {
  return new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: "none", maxRetries: 0 });
}

const HELLO = [{ role: "user", content: "hello" }] as const;

describe("chat completions with the openai client", () => {
  test("a whole answer carries text, a reason and usage that adds up", async () => {
    const client = clientOf(await start());
    const answer = await client.chat.completions.create({ model: "tiny", messages: [...HELLO] });
    expect(answer.choices[0]?.message.content).not.toBe("");
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    const { usage } = answer;
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
  });

  test("a stream says the same as the whole answer and ends with usage", async () => {
    const client = clientOf(await start());
    const body = { model: "tiny", messages: [...HELLO], max_tokens: 9 };
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
});

test("a client that leaves frees its sequence, before the first token and in mid-stream", async () => {
  const engine = await start({ timeScale: 1000 });
  const gone = new AbortController();
  const body = JSON.stringify({ model: "tiny", messages: HELLO, stream: true });
  const request = fetch(`${engine.url}/v1/chat/completions`, {
    method: "POST",
    body,
    signal: gone.signal,
  });
  while (engine.state().running === 0) await Bun.sleep(1);
  gone.abort();
  await expect(request).rejects.toThrow();
  while (engine.state().openRequests > 0) await Bun.sleep(1);
  const { running: sequences, usedBlocks, cancelledRequests } = engine.state();
  expect({ sequences, usedBlocks, cancelledRequests }).toEqual({
    sequences: 0,
    usedBlocks: 0,
    cancelledRequests: 1,
  });
});
