/** What single kinds of engines do that others do not. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { ask, askInTurn, times } from "../support/ask.ts";
import { good, silence, startOddEngine } from "../support/odd-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

function vllmPage(awake: boolean): string {
  return `vllm:num_requests_running{engine="0",model_name="tiny"} 0.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 0.0
vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="awake"} ${awake ? "1.0" : "0.0"}
vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="weights_offloaded"} ${awake ? "0.0" : "1.0"}
vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="discard_all"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.0
`;
}

async function untilState(proxy: ProxyProcess, { url }: { url: string }, state: string) {
  await until(`${url} is ${state}`, async () => (await proxy.status())[url]?.state === state);
}

test("a vLLM that sleeps says 200 on /health and answers nothing: it gets nothing, and what it had moves", async () => {
  let awake = true;
  const sleepy = startOddEngine({ metrics: () => vllmPage(awake) });
  const other = startOddEngine();
  await using proxy = await startProxy([
    ...["--node", sleepy.url, "--node", other.url, "--strategy", "random"],
    ...["--health-interval", "0.1", "--metrics-interval", "0.1"],
  ]);
  await untilHealthy(proxy, 2);
  sleepy.answer = silence;
  const open = times(20, null).map(() => ask(proxy));
  await until("it has some of them", () => sleepy.open > 0);
  awake = false;
  for (const answer of await Promise.all(open)) expect(answer.status).toBe(200);
  await untilState(proxy, sleepy, "sleeping");
  const before = sleepy.requests;
  const probes = sleepy.probes;
  expect(await askInTurn(proxy, 30)).toEqual(times(30, 200));
  await until("it was probed again", () => sleepy.probes > probes + 2);
  expect(sleepy.requests).toBe(before);
  expect((await proxy.status())[sleepy.url]?.state).toBe("sleeping");
  sleepy.answer = good;
  awake = true;
  await untilState(proxy, sleepy, "healthy");
  await until("it gets requests again", async () => {
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    return sleepy.requests > before;
  });
  await Promise.all([sleepy.stop(), other.stop()]);
});

test("llama.cpp is a kind of its own, and nobody complains of a gauge it cannot have", async () => {
  const page = "llamacpp:requests_processing 4\nllamacpp:requests_deferred 1\n";
  const engine = startOddEngine({ metrics: () => page });
  // A poll may take no longer than that, and one that does is complained of.
  await using proxy = await startProxy(["--node", engine.url, "--metrics-interval", "1"]);
  await untilHealthy(proxy);
  await until("its gauges were read", async () => {
    const status = (await proxy.status())[engine.url];
    return status?.engine === "llamacpp" && status.running === 4 && status.waiting === 1;
  });
  const polls = engine.polls;
  await until("they were read again", () => engine.polls > polls + 1);
  expect(proxy.log()).not.toContain("shows no KV-cache usage");
  expect((await proxy.status())[engine.url]?.last_error).toBeNull();
  await engine.stop();
});

test.each([
  [[], "wants a key; start the proxy with --upstream-api-key"],
  [["--upstream-api-key", "its-peers"], "wants another key than --upstream-api-key"],
])(
  "an engine that wants a key is said to, also where its metrics are asked for: %j",
  async (flags, what) => {
    const engine = await startEngine({ port: 0, models: ["m"], apiKey: "the-engines-own" });
    const node = ["--node", engine.url];
    await using proxy = await startProxy([...node, ...flags]);
    const unknown = await until("nothing of it is known", async () => {
      const { no_usage, no_models } = (await proxy.status())[engine.url] ?? {};
      return no_usage && no_models && [no_usage, no_models];
    });
    expect(unknown).toEqual([
      `GET /metrics answered 401: the engine ${what}`,
      `GET /v1/models answered 401: the engine ${what}`,
    ]);
    await engine.stop();
  },
);
