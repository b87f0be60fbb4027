import { describe, expect, test } from "bun:test";
import { type Fault, FaultSwitches } from "../../../src/sim/server/faults.ts";
import { engineStarter, HI, post, until } from "./running.ts";

const start = engineStarter();

const CHAT = "/v1/chat/completions";
const BODY = { messages: HI, max_tokens: 20, ignore_eos: true };
const RESET: Fault = { kind: "reset" };

describe("rules", () => {
  const draw = (rules: ConstructorParameters<typeof FaultSwitches>[1], random = () => 0.5) => {
    const switches = new FaultSwitches(random, rules);
    return (path = CHAT, method = "POST") => switches.pick(method, path)?.kind ?? null;
  };

  test("count and skip say which requests they take", () => {
    const pick = draw([{ fault: RESET, skip: 1, count: 2 }]);
    expect([pick(), pick(), pick(), pick()]).toEqual([null, "reset", "reset", null]);
  });

  test("probability is drawn from the generator handed in", () => {
    const draws = [0.1, 0.9, 0.29, 0.3];
    const pick = draw([{ fault: RESET, probability: 0.3 }], () => draws.shift() ?? 1);
    expect([pick(), pick(), pick(), pick()]).toEqual(["reset", null, "reset", null]);
  });

  test("a path is meant exactly, or as a prefix with a star", () => {
    const pick = draw([
      { fault: RESET, path: "/health" },
      { fault: { kind: "slow" }, path: "/distserve/*" },
    ]);
    expect(pick("/health", "GET")).toBe("reset");
    expect(pick("/distserve/p2p_connect")).toBe("slow");
    expect(pick()).toBeNull();
  });

  test("without a path they leave alone what looks into the engine, and probes", () => {
    const pick = draw([{ fault: RESET }]);
    expect([pick(), pick("/debug/faults"), pick("/sim/migrated"), pick("/health", "GET")]).toEqual([
      "reset",
      null,
      null,
      null,
    ]);
  });
});

describe("a request meets", () => {
  test("a hang before the headers, until the client leaves", async () => {
    const engine = await start({ faults: [{ fault: { kind: "hang", at: "before-headers" } }] });
    const gone = new AbortController();
    const answer = post(engine.url + CHAT, BODY, { signal: gone.signal });
    await until(() => engine.state().openRequests === 1);
    gone.abort();
    await expect(answer).rejects.toThrow();
    await until(() => engine.state().openRequests === 0);
    expect(engine.state().cancelledRequests).toBe(1);
  });

  test("a hang in mid-body, until the client leaves", async () => {
    const fault: Fault = { kind: "hang", at: "body", afterBytes: 300 };
    const engine = await start({ faults: [{ fault }] });
    const answer = await post(engine.url + CHAT, { ...BODY, stream: true });
    const reader = answer.body?.getReader();
    let seen = 0;
    while (seen < 300) seen += (await reader?.read())?.value?.length ?? 300;
    expect(seen).toBe(300);
    expect(engine.state().openRequests).toBe(1);
    await reader?.cancel();
    await until(() => engine.state().openRequests === 0);
    expect(engine.state()).toMatchObject({ usedBlocks: 0, cancelledRequests: 1 });
  });

  test("a reset instead of an answer", async () => {
    const engine = await start({ faults: [{ fault: RESET, count: 1 }] });
    await expect(post(engine.url + CHAT, BODY)).rejects.toThrow();
    expect((await post(engine.url + CHAT, BODY)).status).toBe(200);
    expect(engine.state()).toMatchObject({ failedRequests: 1, completedRequests: 1 });
  });

  test.each([true, false])("death in mid-body, streamed: %p", async (stream) => {
    const engine = await start({ faults: [{ fault: { kind: "die", afterBytes: 150 } }] });
    const answer = await post(engine.url + CHAT, { ...BODY, stream });
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow();
    await until(() => engine.state().openRequests === 0);
    expect(engine.state()).toMatchObject({ failedRequests: 1, usedBlocks: 0 });
  });

  test("an answer of somebody else's making", async () => {
    const fault: Fault = {
      kind: "answer",
      status: 429,
      headers: { "retry-after": "3" },
      body: "later",
    };
    const engine = await start({ faults: [{ fault }] });
    const answer = await post(engine.url + CHAT, BODY);
    expect(answer.status).toBe(429);
    expect(answer.headers.get("retry-after")).toBe("3");
    expect(answer.headers.get("content-length")).toBe("5");
    expect(await answer.text()).toBe("later");
    engine.setFaults([{ fault: { kind: "answer", status: 204 } }]);
    expect((await post(engine.url + CHAT, BODY)).status).toBe(204);
  });

  test("padding in every piece, and floods that end where they said", async () => {
    const engine = await start({ faults: [{ fault: { kind: "pad", bytesPerPiece: 1_000 } }] });
    const padded = await post(engine.url + CHAT, { ...BODY, stream: true });
    expect((await padded.text()).length).toBeGreaterThan(20_000);
    engine.setFaults([{ fault: { kind: "flood", bytes: 1_000_003 }, path: "/metrics" }]);
    expect((await (await fetch(`${engine.url}/metrics`)).bytes()).length).toBe(1_000_003);
  });

  test("answers that end after some words", async () => {
    const engine = await start({ faults: [{ fault: { kind: "short", tokens: 2 } }] });
    const answer = await (await post(engine.url + CHAT, BODY)).json();
    expect(answer).toMatchObject({
      choices: [{ finish_reason: "stop" }],
      usage: { completion_tokens: 2 },
    });
  });

  test("slowness, and still a whole answer", async () => {
    const fault: Fault = { kind: "slow", firstByteMs: 5, perChunkMs: 1 };
    const engine = await start({ faults: [{ fault }] });
    const answer = await post(engine.url + CHAT, { ...BODY, stream: true });
    expect(await answer.text()).toEndWith("data: [DONE]\n\n");
  });

  test("slowness that ends when the client leaves", async () => {
    const slow: readonly Fault[] = [
      { kind: "slow", firstByteMs: 3_600_000 },
      { kind: "slow", perChunkMs: 3_600_000 },
    ];
    for (const fault of slow) {
      const engine = await start({ faults: [{ fault }] });
      const gone = new AbortController();
      const answer = post(engine.url + CHAT, { ...BODY, stream: true }, { signal: gone.signal });
      await until(() => engine.state().openRequests === 1 && engine.state().running === 0);
      gone.abort();
      await expect(answer.then((response) => response.text())).rejects.toThrow();
      await until(() => engine.state().openRequests === 0);
      expect(engine.state()).toMatchObject({
        cancelledRequests: 1,
        usedBlocks: 0,
        totalRequests: 1,
      });
    }
  });

  test("more models than one would like", async () => {
    const engine = await start({ faults: [{ fault: { kind: "models", count: 10_000 } }] });
    const answer = await (await fetch(`${engine.url}/v1/models`)).text();
    expect(answer.match(/"invented-/g)).toHaveLength(2 * 10_000);
  });
});

test("rules can be set while it runs, and nonsense is refused", async () => {
  const engine = await start();
  const rules = [{ fault: { kind: "answer", status: 500 }, path: "/health" }];
  expect((await post(`${engine.url}/debug/faults`, rules)).status).toBe(200);
  expect((await fetch(`${engine.url}/health`)).status).toBe(500);
  expect((await post(`${engine.url}/debug/faults`, [])).status).toBe(200);
  expect((await fetch(`${engine.url}/health`)).status).toBe(200);
  const wrong = [{ fault: { kind: "explode" } }];
  expect((await post(`${engine.url}/debug/faults`, wrong)).status).toBe(400);
});

test.each([
  [
    { fault: { kind: "reset" }, propability: 0.1 },
    "/0/propability is no member here; did you mean probability?",
  ],
  [
    { fault: { kind: "die", afterByte: 10 } },
    "/0/fault/afterByte is no member here; did you mean afterBytes?",
  ],
  [
    { fault: { kind: "flood", tokens: 10 } },
    "/0/fault/tokens is no member here; there are kind, bytes",
  ],
])("a rule with a member that means nothing is refused: %o", async (rule, message) => {
  const engine = await start();
  const answer = await post(`${engine.url}/debug/faults`, [rule]);
  expect([answer.status, await answer.json()]).toEqual([400, { error: { message } }]);
});

test("a request that it cannot read to the end is no open request for ever", async () => {
  const engine = await start();
  const content = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
  const answer = await fetch(engine.url + CHAT, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: `{"model":"tiny","messages":[{"role":"user","content":${content}}]}`,
  });
  expect(answer.status).toBe(500);
  await answer.text();
  expect(engine.state().openRequests).toBe(0);
});

test("an engine that is stopped by force breaks its streams and frees its sequences", async () => {
  const engine = await start({ timeScale: 0.1 });
  const answer = await post(engine.url + CHAT, { ...BODY, max_tokens: 5_000, stream: true });
  const reader = answer.body?.getReader();
  await reader?.read();
  await engine.stop(true);
  const readAll = async () => {
    while (!(await reader?.read())?.done) {}
  };
  await expect(readAll()).rejects.toThrow();
  expect(engine.state()).toMatchObject({ running: 0, usedBlocks: 0 });
});
