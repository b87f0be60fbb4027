/** A 500 that is the node's fault and not the prompt's costs nobody an answer, whatever the retry budget. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { good, type OddEngine, startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

/** As vLLM says it when its EngineCore has been killed. */
const DEAD = {
  error: { message: "EngineCore encountered an issue", type: "InternalServerError", code: 500 },
};
const died = () => Response.json(DEAD, { status: 500 });
const diedStreaming = () =>
  new Response(`data: ${JSON.stringify(DEAD)}\n\ndata: [DONE]\n\n`, {
    headers: { "content-type": "text/event-stream" },
  });

/** An engine that keeps what it gets until `die` is called, and then fails all of it. */
function startDying() {
  const dying = Promise.withResolvers<void>();
  const engine = startOddEngine({
    async answer(request) {
      const isStream = new URL(request.url).searchParams.has("stream");
      await dying.promise;
      return isStream ? diedStreaming() : died();
    },
  });
  return { engine, die: dying.resolve };
}

async function load(engines: readonly OddEngine[], of: OddEngine, flags: readonly string[] = []) {
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const proxy = await startProxy([...nodes, "--strategy", "random", ...flags]);
  await untilHealthy(proxy, engines.length);
  const answers: Promise<number>[] = [];
  const send = async (query: string) => {
    const answer = await fetch(`${proxy.url}/v1/completions${query}`, {
      method: "POST",
      body: '{"model":"tiny","prompt":"x"}',
      headers: { "content-type": "application/json" },
    });
    const text = await answer.text();
    return text.includes('"error"') ? 500 : answer.status;
  };
  while (of.open < 15) {
    answers.push(send(answers.length % 3 === 0 ? "?stream" : ""));
    const sent = answers.length;
    await until(
      "an engine has it",
      () => engines.reduce((sum, one) => sum + one.requests, 0) >= sent,
    );
  }
  return { proxy, answers };
}

test.each([
  ["its health check says so", 503],
  ["several fail at one moment, however well it says it is", 200],
])("%s", async (_, status) => {
  const { engine, die } = startDying();
  const other = startOddEngine();
  const { proxy, answers } = await load([engine, other], engine);
  await using _proxy = proxy;
  engine.health = () => new Response("", { status });
  die();
  expect(await Promise.all(answers)).toEqual(times(answers.length, 200));
  for (const one of [engine, other]) await one.stop();
});

test("an outage of all is not multiplied", async () => {
  const [one, two] = [startDying(), startDying()];
  const engines = [one.engine, two.engine];
  const { proxy, answers } = await load(engines, one.engine);
  await using _proxy = proxy;
  for (const { engine, die } of [one, two]) {
    engine.health = () => new Response("", { status: 503 });
    die();
  }
  const failedAtMs = performance.now();
  await Promise.all(answers);
  const seconds = (performance.now() - failedAtMs) / 1_000;
  const sent = engines.reduce((sum, { requests }) => sum + requests, 0);
  // The budget, and those that failed before it was known.
  expect(sent).toBeLessThanOrEqual(1.3 * answers.length + 3 * (seconds + 2));
  for (const engine of engines) await engine.stop();
});

test("one prompt that breaks engines is asked of two, and is not free", async () => {
  const bad = startOddEngine({ answer: died });
  const worse = startOddEngine({ answer: died });
  await using proxy = await startProxy(["--node", bad.url, "--node", worse.url]);
  await untilHealthy(proxy, 2);
  expect((await ask(proxy)).status).toBe(500);
  expect(bad.requests + worse.requests).toBe(2);
  for (const engine of [bad, worse]) await engine.stop();
});

test("prompts that every engine fails put none of them out, which answer all others", async () => {
  const answer = ({ headers }: Request) => (headers.has("x-poison") ? died() : good());
  const engines = times(3, null).map(() => startOddEngine({ answer }));
  await using proxy = await startProxy(engines.flatMap(({ url }) => ["--node", url]));
  await untilHealthy(proxy, 3);
  const statuses = async (count: number, init: BunFetchRequestInit = {}) => {
    const answers = await Promise.all(times(count, null).map(() => ask(proxy, {}, init)));
    return answers.map(({ status }) => status);
  };
  await statuses(30);
  for (let round = 0; round < 10; round += 1) {
    expect(await statuses(6, { headers: { "x-poison": "1" } })).toEqual(times(6, 500));
    expect(await statuses(6)).toEqual(times(6, 200));
  }
  expect(proxy.log()).not.toContain("node is out");
  for (const engine of engines) await engine.stop();
});

test("--no-retry holds here, too", async () => {
  const { engine, die } = startDying();
  const other = startOddEngine({ answer: good });
  const { proxy, answers } = await load([engine, other], engine, ["--no-retry"]);
  await using _proxy = proxy;
  die();
  const statuses = await Promise.all(answers);
  expect(statuses.filter((status) => status === 500)).toHaveLength(15);
  for (const one of [engine, other]) await one.stop();
});
