/** Engines that fail, hang, slow down or sleep, each in the manner of its kind. */
import { describe, expect, test } from "bun:test";
import type { EngineKind } from "../../../src/core/engine/kinds.ts";
import type { RunningEngine } from "../../../src/sim/server/engine-options.ts";
import { change, engineStarter, HI, post, until } from "./running.ts";

const start = engineStarter();
const CHAT = "/v1/chat/completions";

const BODIES: readonly (readonly [string, object])[] = [
  [CHAT, { messages: HI }],
  ["/v1/completions", { prompt: "x" }],
  ["/generate", { prompt: "x" }],
  ["/v1/messages", { messages: HI, max_tokens: 9 }],
  ["/v1/responses", { input: "x" }],
];

function ask(engine: RunningEngine, path: string, body: object, init: RequestInit = {}) {
  const headers = { "anthropic-version": "2023-06-01" };
  return post(engine.url + path, body, { ...init, headers });
}

describe("an engine that fails under an answer", () => {
  test.each(BODIES)(
    "says so with a status on %s, and in a 200 when it streams",
    async (path, body) => {
      const fault = { kind: "engine-error", status: 503 } as const;
      const engine = await start({ faults: [{ fault }] });
      const whole = await ask(engine, path, body);
      expect(whole.status).toBe(503);
      const streamed = await ask(engine, path, { ...body, stream: true });
      expect(streamed.status).toBe(200);
      const events = (await streamed.text()).split("\n\n").filter((event) => event !== "");
      const last = events.at(-1) ?? "";
      if (path === "/v1/messages") {
        expect(events).toHaveLength(1);
        expect(last).toStartWith('event: error\ndata: {"type": "error", "error": {');
      } else if (path === "/v1/responses") {
        expect(events[0]).toStartWith("event: response.created\n");
        expect(last).toStartWith("event: response.failed\n");
      } else {
        expect(events).toHaveLength(2);
        expect(events[0]).toContain('"code": 503');
        expect(last).toBe("data: [DONE]");
      }
      await until(() => engine.state().openRequests === 0);
      expect(engine.state().usedBlocks).toBe(0);
    },
  );

  test("after some tokens has said those", async () => {
    const fault = { kind: "engine-error", afterTokens: 3 } as const;
    const engine = await start({ faults: [{ fault }] });
    const text = await (await ask(engine, CHAT, { messages: HI, stream: true })).text();
    expect(text.match(/"content"/g)).toHaveLength(3);
    expect(text).toContain('data: {"error": {"message": "An internal server error occurred."');
  });

  test("says it in the text of a good answer, in old releases", async () => {
    const fault = { kind: "engine-error" } as const;
    const engine = await start({ release: "0.14", faults: [{ fault }] });
    const body = { messages: HI };
    expect(await (await ask(engine, CHAT, body)).json()).toMatchObject({
      choices: [
        {
          message: { content: expect.stringContaining("internal error happened") },
          finish_reason: "error",
        },
      ],
    });
    const streamed = await (await ask(engine, CHAT, { ...body, stream: true })).text();
    expect(streamed).toContain('"finish_reason": "error"');
  });
});

test("an engine that stands still hangs behind a healthy /health, its gauges as they were", async () => {
  const engine = await start({ kind: "vllm", timeScale: 1 });
  engine.setPace(0);
  const gone = new AbortController();
  const asked = post(engine.url + CHAT, { messages: HI }, { signal: gone.signal });
  await until(() => engine.state().openRequests === 1);
  expect((await fetch(`${engine.url}/health`)).status).toBe(200);
  const text = await (await fetch(`${engine.url}/metrics`)).text();
  expect(text).toContain('vllm:num_requests_running{engine="0",model_name="tiny"} 0.0');
  await change(engine.url, { pace: 1 });
  expect((await asked).status).toBe(200);
  gone.abort();
});

test("a slower engine takes that much longer, and what runs slows down with it", async () => {
  let nowMs = 0;
  const engine = await start({ timeScale: 1, now: () => nowMs });
  const tokens = async () => (await json(engine)).choices[0].finish_reason;
  const json = async (one: RunningEngine) =>
    Object(await (await post(one.url + CHAT, { messages: HI, max_tokens: 2 })).json());
  engine.setPace(0.1);
  const answer = tokens();
  await until(() => engine.state().running === 1);
  // A step takes 7.5 ms at its own pace.
  nowMs = 74;
  await post(`${engine.url}/abort_request`, {});
  expect(engine.state().running).toBe(1);
  engine.setPace(1);
  nowMs += 20;
  engine.setPace(1);
  expect(await answer).toBe("length");
});

test("an engine whose process is gone fails what it has and what comes", async () => {
  const engine = await start({ kind: "vllm", timeScale: 1_000 });
  const streamed = await post(engine.url + CHAT, { messages: HI, stream: true });
  const whole = post(engine.url + CHAT, { messages: HI });
  await until(() => engine.state().running + engine.state().waiting === 2);
  engine.die();
  expect(await streamed.text()).toEndWith("data: [DONE]\n\n");
  expect((await whole).status).toBe(503);
  expect((await post(engine.url + CHAT, { messages: HI })).status).toBe(503);
  expect((await fetch(`${engine.url}/health`)).status).toBe(503);
  expect(engine.state()).toMatchObject({ openRequests: 0, usedBlocks: 0 });
});

describe("asleep", () => {
  const call = (engine: RunningEngine, path: string) =>
    fetch(engine.url + path, { method: "POST" });

  test("vLLM takes requests and answers none, and tells only its gauges", async () => {
    const engine = await start({ kind: "vllm" });
    await call(engine, "/sleep");
    const asked = post(engine.url + CHAT, { messages: HI });
    await until(() => engine.state().openRequests === 1);
    expect((await fetch(`${engine.url}/health`)).status).toBe(200);
    const text = await (await fetch(`${engine.url}/metrics`)).text();
    expect(text).toContain('sleep_state="awake"} 0.0');
    expect(text).toContain('sleep_state="weights_offloaded"} 1.0');
    await call(engine, "/wake_up");
    expect((await asked).status).toBe(200);
  });

  test("llama.cpp answers to any name, in its own words, and counts without labels", async () => {
    const engine = await start({ kind: "llamacpp" });
    const answer = await (await post(engine.url + CHAT, { messages: HI, model: "any" })).json();
    expect(answer).toMatchObject({ model: "tiny" });
    const missing = await post(`${engine.url}/nothing`, {});
    expect([missing.status, await missing.json()]).toEqual([
      404,
      { error: { code: 404, message: "File Not Found", type: "not_found_error" } },
    ]);
    const page = await (await fetch(`${engine.url}/metrics`)).text();
    expect(page).toContain("\nllamacpp:requests_processing 0.0\n");
  });

  test("llama.cpp is woken by a request", async () => {
    const engine = await start({ kind: "llamacpp" });
    await call(engine, "/sleep");
    expect((await post(engine.url + CHAT, { messages: HI })).status).toBe(200);
  });

  test("LMDeploy refuses five paths and serves the rest", async () => {
    const engine = await start();
    await post(`${engine.url}/sleep`, {});
    for (const [path, body] of BODIES) expect((await ask(engine, path, body)).status).toBe(503);
    expect((await ask(engine, "/v1/encode", { input: "x" })).status).toBe(200);
  });
});

test("others than LMDeploy open a stream before the prefill, with nothing to read", async () => {
  const engine = await start({ kind: "sglang", timeScale: 1_000 });
  const openings: readonly (readonly [string, object, string])[] = [
    [CHAT, { messages: HI }, '"delta":{"role":"assistant","content":""}'],
    ["/v1/messages", { messages: HI, max_tokens: 5 }, "event: ping"],
    ["/v1/responses", { input: "x" }, "event: response.in_progress"],
  ];
  for (const [path, body, opening] of openings) {
    const answer = await ask(engine, path, { ...body, stream: true });
    const reader = answer.body?.getReader();
    let text = "";
    while (!text.includes(opening)) text += Buffer.from((await reader?.read())?.value ?? []);
    await reader?.cancel();
  }
});

test("SGLang's /health takes as long as it is told", async () => {
  const engine = await start({ kind: "sglang", healthDelayMs: 3_600_000 });
  const gone = new AbortController();
  const asked = fetch(`${engine.url}/health`, { signal: gone.signal });
  await until(() => engine.state().requestsByPath["/health"] === 1);
  gone.abort();
  await expect(asked).rejects.toThrow();
  const quick = await start({ kind: "sglang" });
  expect((await fetch(`${quick.url}/health`)).status).toBe(200);
});

describe("after SIGTERM", () => {
  async function drained(kind: EngineKind) {
    const engine = await start({ kind, timeScale: 0.2 });
    const running = await post(engine.url + CHAT, { messages: HI, stream: true, max_tokens: 40 });
    const over = engine.drain();
    const health = await fetch(`${engine.url}/health`).then(
      ({ status }) => status,
      () => "refused",
    );
    const text = await running.text().catch(() => "broken");
    await over;
    return [health, text.endsWith("data: [DONE]\n\n")];
  }

  test("uvicorn takes nothing new, SGLang says 503, both finish what runs; llama.cpp does not", async () => {
    expect(await drained("lmdeploy")).toEqual(["refused", true]);
    expect(await drained("vllm")).toEqual(["refused", true]);
    expect(await drained("sglang")).toEqual([503, true]);
    expect(await drained("llamacpp")).toEqual(["refused", false]);
  });
});
