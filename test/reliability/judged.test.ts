/** Engines that are in good health by their own word, and are not: judged beside their peers. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { good, type OddEngine, silence, startOddEngine } from "../support/odd-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { httpAnswer, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

async function startAll(count: number, flags: readonly string[] = []) {
  const engines = times(count, null).map(() => startOddEngine());
  const proxy = await startProxy([...engines.flatMap(({ url }) => ["--node", url]), ...flags]);
  await untilHealthy(proxy, count);
  const [odd, ...others] = engines;
  if (odd === undefined) throw new Error("no engines");
  return {
    proxy,
    odd,
    others,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      for (const engine of engines) await engine.stop();
    },
  };
}

async function untilState(proxy: ProxyProcess, { url }: OddEngine, state: string) {
  await until(`${url} is ${state}`, async () => (await proxy.status())[url]?.state === state);
}

/**
 * Sends requests at even distances for as long as `go` says, so many at a time at most; resolves with their
 * statuses, 0 for one given up.
 */
async function send(
  proxy: ProxyProcess,
  everyMs: number,
  go: (sent: number) => boolean | Promise<boolean>,
  body: Readonly<Record<string, unknown>> = {},
  most = Number.POSITIVE_INFINITY,
): Promise<number[]> {
  const answers: Promise<number>[] = [];
  const open = new Set<Promise<number>>();
  while (await go(answers.length)) {
    if (open.size >= most) await Promise.race(open);
    const signal = AbortSignal.timeout(30_000);
    const answered = ask(proxy, body, { signal })
      .then(
        (answer) => answer.bytes().then(() => answer.status),
        () => 0,
      )
      .finally(() => open.delete(answered));
    open.add(answered);
    answers.push(answered);
    await Bun.sleep(everyMs);
  }
  return await Promise.all(answers);
}

for (const strategy of ["min_expected_latency", "random"]) {
  test.concurrent(`an engine that hangs behind a healthy /health: nobody gives up, it gets no more (${strategy})`, async () => {
    await using cluster = await startAll(4, ["--strategy", strategy]);
    const { proxy, odd } = cluster;
    await send(proxy, 5, (sent) => sent < 40, { stream: true });
    odd.answer = silence;
    const isOut = async () => (await proxy.status())[odd.url]?.state === "unhealthy";
    const statuses = await send(proxy, 50, async (sent) => sent < 600 && !(await isOut()), {
      stream: true,
    });
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(await isOut()).toBe(true);
    const told = (await proxy.status())[odd.url];
    expect(told?.last_error).toMatch(/sent nothing for .* while its peers/);
    expect([told?.unfinished, told?.errors_5m === 0]).toEqual([0, false]);
    const shown = await (await fetch(`${proxy.url}/nodes/show?node=${odd.url}`)).text();
    expect(shown).toContain('"outcome":"cancelled","status":null,"detail":"sent nothing for ');
    const before = odd.requests;
    expect(new Set(await send(proxy, 20, (sent) => sent < 100, { stream: true }))).toEqual(
      new Set([200]),
    );
    expect(odd.requests - before).toBeLessThanOrEqual(2);
    odd.answer = good;
    await until("it is back", async () => {
      await send(proxy, 10, (sent) => sent < 10);
      return (await proxy.status())[odd.url]?.state === "healthy";
    });
  });
}

for (const status of [307, 400, 401, 403, 404, 413]) {
  test(`one of four that refuses everything with ${status} attracts nobody, and is found again`, async () => {
    await using cluster = await startAll(4);
    const { proxy, odd, others } = cluster;
    for (const engine of others) engine.answer = () => Bun.sleep(20).then(good);
    await send(proxy, 5, (sent) => sent < 40);
    const before = odd.requests;
    odd.answer = () => new Response("{}", { status });
    const startedMs = performance.now();
    // What is under way when the third is refused is not the proxy's doing: a machine that stands still
    // for a moment must not let all come at once.
    const statuses = await send(proxy, 5, (sent) => sent < 400, {}, 6);
    const seconds = (performance.now() - startedMs) / 1_000;
    const refused = statuses.filter((one) => one === status).length;
    // Of four that answer at once, three would be refused for good. Trials are ever further apart.
    const trials = Math.max(0, Math.ceil(Math.log2(seconds)) - 1);
    expect(refused).toBeLessThanOrEqual([401, 403, 404].includes(status) ? 0 : 6 + trials);
    expect(odd.requests - before).toBeLessThanOrEqual(8 + trials);
    expect((await proxy.status())[odd.url]?.last_error).toBe(
      `refuses (${status}) what its peers answer`,
    );
    odd.answer = good;
    await until("it is back", async () => {
      await send(proxy, 5, (sent) => sent < 10);
      return (await proxy.status())[odd.url]?.state === "healthy";
    });
  });
}

test("an engine whose answers are good and empty is out, and nobody else", async () => {
  await using cluster = await startAll(4, ["--strategy", "random"]);
  const { proxy, odd } = cluster;
  await send(proxy, 2, (sent) => sent < 40);
  odd.answer = () => new Response("");
  await until("it is out", async () => {
    await send(proxy, 2, (sent) => sent < 10);
    return (await proxy.status())[odd.url]?.state === "unhealthy";
  });
  expect((await proxy.status())[odd.url]?.last_error).toBe(
    "answers nothing to what its peers answer",
  );
  const said = await until("that is logged", () => proxy.log().match(/^.*node is out.*$/gm));
  for (const line of said) expect(line).toContain(odd.url);
});

/** Answers of so many tokens: whole, with usage, or a stream without. */
function saying(tokens: number, stream: boolean) {
  if (stream) return () => streaming(tokens);
  const usage = { prompt_tokens: 5, total_tokens: 5 + tokens, completion_tokens: tokens };
  const choices = [{ index: 0, text: "x", finish_reason: "stop" }];
  return () => Response.json({ object: "text_completion", choices, usage });
}

function streaming(tokens: number): Response {
  const words = Array.from({ length: tokens }, (_, at) => ({
    index: 0,
    text: `word ${at} ${"x".repeat(200)}`,
  }));
  const events = words.map((choice) => `data: ${JSON.stringify({ choices: [choice] })}\n\n`);
  return new Response([...events, "data: [DONE]\n\n"].join(""), {
    headers: { "content-type": "text/event-stream" },
  });
}

for (const strategy of ["min_expected_latency", "min_observed_latency"]) {
  for (const stream of [false, true]) {
    test(`an engine that says two words to everything is out, and found again (${strategy}, ${stream ? "streams" : "whole"})`, async () => {
      await using cluster = await startAll(4, ["--strategy", strategy]);
      const { proxy, odd, others } = cluster;
      const well = saying(60, stream);
      for (const engine of others) engine.answer = () => Bun.sleep(100).then(well);
      odd.answer = saying(2, stream);
      // By observed latency one whose last answers happened to be slow draws nothing, for a minute.
      await until("it draws more than its share", async () => {
        const had = odd.requests;
        await send(proxy, 2, (sent) => sent < 100, { stream, max_tokens: 2 });
        return odd.requests - had > 35;
      });
      expect(proxy.log()).not.toContain("node is out");
      const asked = { stream, max_tokens: 100 };
      const before = odd.requests;
      const isOut = async () => (await proxy.status())[odd.url]?.state === "unhealthy";
      await until("it is out", async () => {
        await send(proxy, 5, (sent) => sent < 5, asked);
        return await isOut();
      });
      expect(odd.requests - before).toBeLessThan(40);
      expect((await proxy.status())[odd.url]?.last_error).toBe(
        "ends its answers after 4 tokens or less; its peers do not",
      );
      odd.answer = well;
      await until("it is back", async () => {
        await send(proxy, 5, (sent) => sent < 10, asked);
        return !(await isOut());
      });
    });
  }
}

test("where all is answered in a word nobody is out, until others are asked for that one engine does not give", async () => {
  await using cluster = await startAll(4, ["--strategy", "random"]);
  const { proxy, odd, others } = cluster;
  let tokens = 1;
  for (const engine of others) engine.answer = () => saying(tokens, false)();
  odd.answer = () => saying(Math.min(tokens, 2), false)();
  const asked = { max_tokens: 100 };
  await send(proxy, 2, (sent) => sent < 800, asked, 8);
  expect(odd.requests).toBeGreaterThan(100);
  expect(proxy.log()).not.toContain("node is out");
  tokens = 60;
  const before = odd.requests;
  await until("it is out", async () => {
    await send(proxy, 2, (sent) => sent < 20, asked, 8);
    return (await proxy.status())[odd.url]?.state === "unhealthy";
  });
  expect(odd.requests - before).toBeLessThan(320);
  const said = await until("that is logged", () => proxy.log().match(/^.*node is out.*$/gm));
  for (const line of said) expect(line).toContain(odd.url);
});

/** A stream of so many events, one each 50 ms, none while the engine `stands`. */
function flowing(events: number, stands: () => boolean): Response {
  async function* body() {
    for (let at = 0; at < events; at += 1) {
      await Bun.sleep(50);
      while (at > 0 && stands()) await Bun.sleep(10);
      yield `data: ${JSON.stringify({ choices: [{ index: 0, text: `word ${at}` }] })}\n\n`;
    }
    yield "data: [DONE]\n\n";
  }
  return new Response(body(), { headers: { "content-type": "text/event-stream" } });
}

test("an engine that stops in the middle of its answers gets no more, and keeps those it has", async () => {
  await using cluster = await startAll(3, ["--strategy", "random"]);
  const { proxy, odd, others } = cluster;
  let stands = false;
  for (const engine of others) engine.answer = () => flowing(40, () => false);
  odd.answer = () => flowing(40, () => stands);
  await send(proxy, 5, (sent) => sent < 200, { stream: true });
  stands = true;
  const state = async () => (await proxy.status())[odd.url];
  const statuses = send(
    proxy,
    50,
    async (sent) => {
      const found = await state();
      if (found?.state === "unhealthy" && sent > 20) stands = false;
      return !(found?.state === "healthy" && sent > 20 && !stands);
    },
    { stream: true },
  );
  await until("it is out", async () => (await state())?.state === "unhealthy");
  expect((await state())?.last_error).toMatch(
    /^its streams stand still for .* of its peers go on$/,
  );
  // Those that stood still are whole in the end.
  expect(new Set(await statuses)).toEqual(new Set([200]));
});

test("a client's bad requests, refused by every engine alike, take nobody out", async () => {
  await using cluster = await startAll(4);
  const { proxy, odd, others } = cluster;
  for (const engine of [odd, ...others]) engine.answer = () => new Response("{}", { status: 404 });
  expect(new Set(await send(proxy, 2, (sent) => sent < 200))).toEqual(new Set([404]));
  const asked = [odd, ...others].reduce((sum, { requests }) => sum + requests, 0);
  expect(asked).toBeLessThanOrEqual(400);
  expect(proxy.log()).not.toContain("node is out");
});

test("a node that is out and gets no traffic is back within seconds of being well, gauges read", async () => {
  const page = "vllm:kv_cache_usage_perc 0.5\n";
  await using cluster = await startAll(2, ["--strategy", "random", "--metrics-interval", "0.5"]);
  const { proxy, odd } = cluster;
  odd.metrics = () => page;
  odd.answer = () => new Response("", { status: 500 });
  await until("it is out", async () => {
    await send(proxy, 1, (sent) => sent < 5);
    return (await proxy.status())[odd.url]?.state === "unhealthy";
  });
  odd.answer = good;
  const polls = odd.polls;
  await untilState(proxy, odd, "healthy");
  await until("its gauges are read", () => odd.polls > polls + 1);
  expect((await send(proxy, 5, (sent) => sent < 20)).every((status) => status === 200)).toBe(true);
});

test("requests that end every engine's connections put no engine out that serves others", async () => {
  const engines = times(8, null).map(() =>
    startRawServer({
      script: ({ head }) => [/x-poison/i.test(head) ? { reset: true } : { send: httpAnswer("{}") }],
    }),
  );
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  await using proxy = await startProxy([...nodes, "--strategy", "random"]);
  await untilHealthy(proxy, 8);
  const poison = { headers: { "x-poison": "1" } };
  for (let i = 0; i < 40; i += 1) {
    const others = times(16, null).map(() => ask(proxy).then((answer) => answer.status));
    const statuses = await Promise.all([
      ...others,
      ask(proxy, {}, poison).then((one) => one.status),
    ]);
    expect(statuses).toEqual([...times(16, 200), 502]);
  }
  const states = Object.values(await proxy.status()).map(({ state }) => state);
  expect(states.filter((state) => state === "healthy").length).toBeGreaterThanOrEqual(4);
  for (const engine of engines) engine.stop();
});
