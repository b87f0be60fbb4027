/** One node after the other taken out and brought back, while clients notice nothing. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { engineStarter } from "../sim/server/running.ts";
import { ask, askInTurn, times } from "../support/ask.ts";
import { type EngineProcess, startEngineProcess } from "../support/engine-process.ts";
import { freePort } from "../support/free-port.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const start = engineStarter();

async function administer(proxy: ProxyProcess, path: string, body: object): Promise<unknown> {
  const answer = await fetch(proxy.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(200);
  return await answer.json();
}

test("draining answers at once, cuts no stream, and ends when the node registers again", async () => {
  const [going, other] = await Promise.all([start({ timeScale: 1 }), start()]);
  await using proxy = await startProxy(["--node", going.url]);
  await untilHealthy(proxy);
  const body = { model: "tiny", prompt: "x", max_tokens: 1_000, ignore_eos: true, stream: true };
  const exchange = rawPost(proxy.port, "/v1/completions", body);
  await until("it has begun", () => exchange.receivedBytes > 0);
  going.setPace(0);
  await administer(proxy, "/nodes/add", { url: other.url, models: ["tiny"] });
  await untilHealthy(proxy, 2);
  const drained = await administer(proxy, "/nodes/drain", { url: going.url });
  expect(drained).toEqual({ state: "draining", unfinished: 1 });
  expect(await askInTurn(proxy, 20)).toEqual(times(20, 200));
  expect(going.state().totalRequests).toBe(1);
  going.setPace(100);
  const answer = await exchange.ended;
  expect(answer.complete).toBe(true);
  expect(answer.body.toString()).toEndWith("data: [DONE]\n\n");
  await until("nothing is left on it", async () => {
    const again = await administer(proxy, "/nodes/drain", { url: going.url });
    return Bun.deepEquals(again, { state: "draining", unfinished: 0 });
  });
  await administer(proxy, "/nodes/add", { url: going.url });
  await until("it gets requests", async () => {
    expect(await askInTurn(proxy, 1)).toEqual([200]);
    return going.state().totalRequests > 1;
  });
});

/** What an operator does for each engine: drain, wait, end, start again. It registers by itself. */
async function restart(proxy: ProxyProcess, engine: EngineProcess): Promise<EngineProcess> {
  const command = ["nodes", "drain", engine.url, "--wait", "--proxy-url", proxy.url];
  const drain = Bun.spawn([process.execPath, "src/main.ts", ...command], { stdout: "pipe" });
  expect(await drain.exited).toBe(0);
  engine.kill("SIGTERM");
  await engine.exited;
  const again = await startEngineProcess({
    port: engine.port,
    proxyUrl: proxy.url,
    timeScale: 0.2,
  });
  await until("it is healthy", async () => {
    return (await proxy.status())[engine.url]?.state === "healthy";
  });
  return again;
}

test("a rolling restart of all engines under load loses no request", async () => {
  await using proxy = await startProxy();
  const options = { proxyUrl: proxy.url, timeScale: 0.2 };
  const engines = await Promise.all(
    times(3, null).map(() => startEngineProcess({ ...options, port: freePort() })),
  );
  await untilHealthy(proxy, 3);
  let restarting = true;
  const lost: string[] = [];
  let completed = 0;
  const clients = times(16, null).map(async (_, i) => {
    while (restarting) {
      const stream = i % 2 === 0;
      const answer = await ask(proxy, { max_tokens: 20, ignore_eos: true, stream });
      const text = await answer.text().catch((error) => `${error}`);
      const isWhole = stream ? text.endsWith("data: [DONE]\n\n") : text.endsWith("}");
      if (answer.status === 200 && isWhole) completed += 1;
      else lost.push(`${answer.status} ${text.slice(-200)}`);
    }
  });
  for (const [i, engine] of engines.entries()) engines[i] = await restart(proxy, engine);
  restarting = false;
  await Promise.all(clients);
  expect(lost).toEqual([]);
  expect(completed).toBeGreaterThan(30);
  const counts = Object.values(await proxy.status()).map(({ unfinished }) => unfinished);
  expect(counts).toEqual([0, 0, 0]);
  for (const engine of engines) await engine[Symbol.asyncDispose]();
});
