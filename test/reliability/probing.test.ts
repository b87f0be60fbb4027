/** What is asked of engines beside requests, how often, and whose answer it is taken for. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { askInTurn } from "../support/ask.ts";
import { startOddEngine } from "../support/odd-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

async function register(proxy: ProxyProcess, url: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ url, status: { models: ["tiny"], role: 1 } });
  expect((await fetch(`${proxy.url}/nodes/add`, { method: "POST", headers, body })).status).toBe(
    200,
  );
}

test("a registration is probed once", async () => {
  const engine = startOddEngine();
  await using proxy = await startProxy(["--health-interval", "600"]);
  for (let probes = 1; probes <= 3; probes += 1) {
    await register(proxy, engine.url);
    await until("it was probed", () => engine.probes >= probes);
    await untilHealthy(proxy);
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    expect(engine.probes).toBe(probes);
  }
  await engine.stop();
});

test("a poll that was under way when the engine was replaced is not the new one's", async () => {
  const page = (usage: number) => `vllm:kv_cache_usage_perc{engine="0"} ${usage}\n`;
  let answerOld: ((response: Response) => void) | null = null;
  const old = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    routes: {
      "/health": () => new Response(),
      "/v1/models": () => Response.json({ object: "list", data: [{ id: "tiny" }] }),
      "/metrics": () => new Promise<Response>((resolve) => (answerOld = resolve)),
    },
    fetch: () => new Response("", { status: 404 }),
  });
  await using proxy = await startProxy(["--node", old.url.origin, "--metrics-interval", "20"]);
  await untilHealthy(proxy);
  const answer = await until("its gauges are asked for", () => answerOld);
  await register(proxy, old.url.origin);
  answer(new Response(page(0.9)));
  answerOld = null;
  const again = await until("they are asked for again", async () => {
    const status = (await proxy.status())[old.url.origin];
    expect(status?.cache_usage).toBeNull();
    return answerOld;
  });
  again(new Response(page(0.25)));
  await until("the new ones are taken", async () => {
    return (await proxy.status())[old.url.origin]?.cache_usage === 0.25;
  });
  await old.stop(true);
});
