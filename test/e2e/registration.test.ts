/** Engines register as LMDeploy's do: before they listen, without a key, once. */
import { expect, test } from "bun:test";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { freePort } from "../support/free-port.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

function register(proxyUrl: string, body: object): Promise<Response> {
  return fetch(`${proxyUrl}/nodes/add`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

test("a registration is answered while its engine does not listen yet, and routable soon after", async () => {
  await using proxy = await startProxy(["--api-keys", "sk-client"]);
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const body = { url, status: { models: ["internlm2-chat-7b"], role: 1 } };
  const answer = await register(proxy.url, body);
  expect(answer.status).toBe(200);
  expect((await proxy.status("sk-client"))[url]?.state).toBe("starting");
  const engine = await startEngine({ models: ["internlm2-chat-7b"], port });
  await untilHealthy(proxy, 1, "sk-client");
  await engine.stop(true);
});

test("the same URL again is the same node: counters kept, models replaced", async () => {
  const engine = await startEngine({ models: ["m"], timeScale: 1 });
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const controller = new AbortController();
  const stream = await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      ...{ model: "m", prompt: "x", stream: true },
      // By itself it would end after a second or so.
      ...{ max_tokens: 5_000, ignore_eos: true },
    }),
    signal: controller.signal,
  });
  await stream.body?.getReader().read();
  const port = new URL(engine.url).port;
  await register(proxy.url, {
    url: `HTTP://0.0.0.0:${port}/`,
    models: ["m", "alias"],
    role: "Hybrid",
  });
  const nodes = await proxy.status();
  expect(Object.keys(nodes)).toEqual([engine.url]);
  expect(nodes[engine.url]?.unfinished).toBe(1);
  expect(nodes[engine.url]?.models).toContain("alias");
  controller.abort();
  await until("the counter is back at 0", async () => {
    return (await proxy.status())[engine.url]?.unfinished === 0;
  });
  await engine.stop(true);
});

test("a node that stops is kept, and comes back by itself", async () => {
  const engine = await startEngine({ models: ["m"], port: freePort() });
  await using proxy = await startProxy(["--node", engine.url, "--health-interval", "0.05"]);
  await untilHealthy(proxy);
  await engine.stop(true);
  await until(
    "it is unhealthy",
    async () => (await proxy.status())[engine.url]?.state === "unhealthy",
  );
  const again = await startEngine({ models: ["m"], port: engine.port });
  await untilHealthy(proxy);
  await again.stop(true);
});

test("adapters that appear while an engine runs are found before a 404", async () => {
  const engine = await startEngine({ models: ["m"] });
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  engine.setModels(["m", "m-lora"]);
  const answer = await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "m-lora", prompt: "x", max_tokens: 2 }),
  });
  expect(answer.status).toBe(200);
  await engine.stop(true);
});

test("a request for a node that is still starting waits for it", async () => {
  await using proxy = await startProxy();
  const port = freePort();
  await register(proxy.url, { url: `http://127.0.0.1:${port}`, models: ["m"] });
  const asked = fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "m", prompt: "x", max_tokens: 2 }),
  });
  const engine = await startEngine({ models: ["m"], port });
  expect((await asked).status).toBe(200);
  await engine.stop(true);
});
