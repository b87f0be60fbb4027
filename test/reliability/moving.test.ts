/** A request that has to move always finds its place: it waits for one like everybody, ahead of newcomers. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { type GateEngine, startGateEngine } from "../support/gate-engine.ts";
import { good, type OddEngine, silence, startOddEngine } from "../support/odd-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

interface Stage extends AsyncDisposable {
  readonly going: OddEngine;
  readonly staying: GateEngine;
  readonly proxy: ProxyProcess;
}

/** One engine that answers nobody and is about to go, and one that answers when it is let. */
async function stage(flags: readonly string[]): Promise<Stage> {
  const going = startOddEngine({ answer: silence });
  const staying = startGateEngine();
  const nodes = ["--node", going.url, "--node", staying.url];
  const proxy = await startProxy([...nodes, "--health-interval", "0.1", ...flags]);
  await untilHealthy(proxy, 2);
  return {
    going,
    staying,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy.end("SIGKILL");
      await Promise.all([going.stop(), staying.stop()]);
    },
  };
}

function send(proxy: ProxyProcess, count: number, name = "old"): Promise<number>[] {
  return times(count, null).map(
    async (_, i) => (await ask(proxy, { name: `${name} ${i}` })).status,
  );
}

/** Lets the staying engine answer one after the other until all `answers` are there. */
async function letAnswer(staying: GateEngine, answers: readonly Promise<number>[]) {
  let over = false;
  const statuses = Promise.all(answers).finally(() => {
    over = true;
  });
  await until("all are answered", () => {
    staying.release(1);
    return over;
  });
  return await statuses;
}

test.concurrent.each([
  ["dies", ({ going }: Stage) => void going.stop()],
  [
    "is ejected by probes",
    ({ going }: Stage) => {
      going.health = () => new Response(null, { status: 500 });
    },
  ],
])("while the other engine is full, its own %s", async (_, go) => {
  await using all = await stage(["--max-concurrency-per-node", "4"]);
  const { going, staying, proxy } = all;
  const answers = send(proxy, 8);
  await until("both are full", () => going.open === 4 && staying.waiting === 4);
  go(all);
  expect(await letAnswer(staying, answers)).toEqual(times(8, 200));
  expect(new Set(staying.arrived).size).toBe(8);
});

test.concurrent("while the other engine is full, its own says 503", async () => {
  await using all = await stage(["--max-concurrency-per-node", "4"]);
  const { going, staying, proxy } = all;
  going.answer = () => new Response("busy", { status: 503, headers: { "retry-after": "60" } });
  const answers = send(proxy, 8);
  await until("one is full", () => staying.waiting === 4);
  expect(await letAnswer(staying, answers)).toEqual(times(8, 200));
});

test.concurrent("it goes ahead of those that have no place yet", async () => {
  await using all = await stage(["--max-concurrency-per-node", "1"]);
  const { going, staying, proxy } = all;
  const old = send(proxy, 2);
  await until("both are full", () => going.open === 1 && staying.waiting === 1);
  const newcomers = send(proxy, 3, "new");
  await until("they wait", async () => {
    const answer = await fetch(`${proxy.url}/metrics`);
    return /^lmproxy_queue_length 3$/m.test(await answer.text());
  });
  await going.stop();
  await until("the node is out", async () => {
    return (await proxy.status())[going.url]?.state === "unhealthy";
  });
  expect(await letAnswer(staying, [...old, ...newcomers])).toEqual(times(5, 200));
  expect(staying.arrived.map((name) => name.slice(0, 3))).toEqual([
    ...times(2, "old"),
    ...times(3, "new"),
  ]);
});

test.concurrent("while the other engine is passed over for a moment", async () => {
  await using all = await stage([]);
  const { going, proxy } = all;
  const busy = startOddEngine({
    answer: (_, nth) =>
      nth > 0 ? good() : new Response("", { status: 503, headers: { "retry-after": "3" } }),
  });
  const change = (verb: string, url: string) =>
    fetch(`${proxy.url}/nodes/${verb}`, { method: "POST", body: JSON.stringify({ url }) });
  await change("remove", all.staying.url);
  await change("add", busy.url);
  await untilHealthy(proxy, 2);
  going.answer = good;
  while (busy.requests === 0) await ask(proxy);
  going.answer = silence;
  const answers = send(proxy, 4);
  await until("it has them", () => going.open === 4);
  await going.stop();
  expect(await Promise.all(answers)).toEqual(times(4, 200));
  await busy.stop();
});

test.concurrent("with --queue-timeout 0 it gets what there is", async () => {
  await using all = await stage(["--max-concurrency-per-node", "1", "--queue-timeout", "0"]);
  const { going, staying, proxy } = all;
  let fail = () => {};
  const failing = new Promise<void>((resolve) => {
    fail = resolve;
  });
  going.answer = () => failing.then(() => new Response("mine", { status: 500 }));
  const answers = send(proxy, 2);
  await until("both are full", () => going.open === 1 && staying.waiting === 1);
  fail();
  await Promise.race(answers);
  expect((await letAnswer(staying, answers)).sort()).toEqual([200, 500]);
});

test.concurrent("what has to move waits no longer than --timeout, and is not sent on after that", async () => {
  const [going, resting] = [startOddEngine(), startOddEngine()];
  await using proxy = await startProxy(["--node", going.url, resting.url, "--timeout", "1"]);
  await untilHealthy(proxy, 2);
  resting.answer = () => new Response("busy", { status: 503, headers: { "retry-after": "60" } });
  await until("it is passed over for ten seconds", async () => {
    await ask(proxy);
    return resting.requests > 0;
  });
  resting.answer = good;
  going.answer = () => new Response("no", { status: 500 });
  const before = resting.requests;
  expect((await ask(proxy)).status).toBe(504);
  expect(resting.requests).toBe(before);
  await Promise.all([going.stop(), resting.stop()]);
});

test.concurrent("it went to an engine although all were out, and another one is back", async () => {
  const odd = { answer: silence };
  const engines = [startOddEngine(odd), startOddEngine(odd)] as const;
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const soon = ["--health-interval", "0.1", "--health-timeout", "0.1"];
  await using proxy = await startProxy([...nodes, ...soon]);
  await untilHealthy(proxy, 2);
  for (const engine of engines) engine.health = silence;
  await until("both are out", async () => {
    const states = Object.values(await proxy.status()).map(({ state }) => state);
    return states.every((state) => state === "unhealthy");
  });
  const answer = ask(proxy);
  await until("one has it", () => engines.some(({ open }) => open === 1));
  const [holder, other] = engines[0].open === 1 ? engines : [engines[1], engines[0]];
  other.answer = good;
  other.health = () => new Response();
  expect((await answer).status).toBe(200);
  expect([holder.requests, other.requests]).toEqual([1, 1]);
  await Promise.all(engines.map((engine) => engine.stop()));
});

test.concurrent("it went to an engine although all were out, and stays while another is about to show that it is back", async () => {
  const engines = [startOddEngine(), startOddEngine()] as const;
  const [dead, doubted] = engines;
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const soon = ["--health-interval", "0.1", "--health-timeout", "0.1"];
  await using proxy = await startProxy([...nodes, ...soon, "--strategy", "round_robin"]);
  await untilHealthy(proxy, 2);
  const is = async ({ url }: OddEngine, state: string) =>
    (await proxy.status())[url]?.state === state;
  doubted.answer = () => new Response(null, { status: 500 });
  await until("it is out", async () => {
    await ask(proxy);
    return await is(doubted, "unhealthy");
  });
  await until("nobody has asked anything for long enough", () => is(doubted, "healthy"));
  const { promise: decided, resolve: decide } = Promise.withResolvers<void>();
  doubted.answer = () => decided.then(good);
  dead.answer = silence;
  dead.health = silence;
  await until("the other is out", () => is(dead, "unhealthy"));
  const answers = [ask(proxy)];
  await until("it decides", () => doubted.open === 1);
  answers.push(ask(proxy), ask(proxy));
  await until("the other has one", () => dead.open > 0 && dead.open + doubted.open === 3);
  const before = dead.probes;
  await until("no prefill could take so long", () => dead.probes > before + 15);
  decide();
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(times(3, 200));
  await Promise.all(engines.map((engine) => engine.stop()));
});

test.concurrent("it was lost on an engine to which it went although all were out, and another one is back", async () => {
  const odd = { answer: silence };
  const engines = [startOddEngine(odd), startOddEngine(odd)] as const;
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  await using proxy = await startProxy([...nodes, "--health-interval", "0.1"]);
  await untilHealthy(proxy, 2);
  const states = async () => Object.values(await proxy.status()).map(({ state }) => state);
  // An engine that says so may be finishing what it has: that is not taken from it.
  for (const engine of engines) engine.health = () => new Response(null, { status: 500 });
  await until("both are out", async () => (await states()).every((one) => one === "unhealthy"));
  const answer = ask(proxy);
  await until("one has it", () => engines.some(({ open }) => open === 1));
  const [holder, other] = engines[0].open === 1 ? engines : [engines[1], engines[0]];
  other.answer = good;
  other.health = () => new Response();
  await until("the other is back", async () => (await states()).includes("healthy"));
  await holder.stop();
  expect((await answer).status).toBe(200);
  expect([holder.requests, other.requests]).toEqual([1, 1]);
  await other.stop();
});
