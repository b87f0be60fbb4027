/** Adapters that come and go while engines run: whoever serves one is asked for it, and at once. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type AdapterNode, startAdapterNode } from "../support/adapter-node.ts";
import { ask, times } from "../support/ask.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

async function startBefore(workers: string, ...nodes: readonly AdapterNode[]) {
  const urls = nodes.map(({ url }) => url);
  const proxy = await startProxy(["--workers", workers, "--node", ...urls]);
  await untilHealthy(proxy, nodes.length);
  for (const { url, adapters } of nodes) await listed(proxy, url, ...adapters);
  return proxy;
}

async function listed(proxy: ProxyProcess, url: string, ...adapters: readonly string[]) {
  const wanted = ["base", ...adapters].toSorted().join();
  await until(
    `${url} serves ${wanted}`,
    async () => (await proxy.status())[url]?.models.toSorted().join() === wanted,
  );
}

test.each(["1", "2"])(
  "an adapter that has moved to another node behind the proxy's back is asked for there (%s workers)",
  async (workers) => {
    await using first = startAdapterNode("a");
    await using second = startAdapterNode();
    await using proxy = await startBefore(workers, first, second);
    expect((await ask(proxy, { model: "a" })).status).toBe(200);
    first.adapters.delete("a");
    second.adapters.add("a");
    const answers = [await ask(proxy, { model: "a" }), await ask(proxy, { model: "a" })];
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(first.asked).toEqual(["a", "a"]);
    expect(second.asked).toEqual(["a", "a"]);
  },
);

test("an adapter is served at once although a list from before it was loaded is still to come", async () => {
  await using node = startAdapterNode();
  await using proxy = await startBefore("1", node);
  node.listMs = 300;
  const before = node.lists;
  const early = ask(proxy, { model: "a" });
  await until("its list is asked for", () => node.lists > before);
  const loaded = await fetch(`${proxy.url}/v1/load_lora_adapter`, {
    method: "POST",
    body: JSON.stringify({ lora_name: "a", lora_path: "/a" }),
  });
  expect(loaded.status).toBe(200);
  expect((await ask(proxy, { model: "a" })).status).toBe(200);
  await early;
});

test.each(["1", "2"])(
  "a node that has unloaded an adapter behind the proxy's back stays in for all else (%s workers)",
  async (workers) => {
    await using first = startAdapterNode("a");
    await using second = startAdapterNode("a");
    await using proxy = await startBefore(workers, first, second);
    first.adapters.delete("a");
    const asked = Array.from({ length: 20 }, () => ask(proxy, { model: "a" }));
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses).toEqual(times(20, 200));
    expect(first.asked.length).toBeGreaterThan(3);
    await listed(proxy, first.url);
    const states = Object.values(await proxy.status()).map(({ state }) => state);
    expect(states).toEqual(["healthy", "healthy"]);
    expect(proxy.log()).not.toContain("node is out");
  },
);

test("an adapter that an engine is told to load, and has already, is served at once", async () => {
  await using node = startAdapterNode();
  await using proxy = await startBefore("1", node);
  expect((await ask(proxy, { model: "a" })).status).toBe(404);
  node.adapters.add("a");
  const loaded = await fetch(`${proxy.url}/v1/load_lora_adapter`, {
    method: "POST",
    body: JSON.stringify({ lora_name: "a", lora_path: "/a" }),
  });
  expect(loaded.status).toBe(502);
  expect((await ask(proxy, { model: "a" })).status).toBe(200);
});

test("what a node has unloaded behind the proxy's back waits for one that has it, where that is full", async () => {
  await using first = startAdapterNode("a");
  await using second = startAdapterNode("a");
  const nodes = ["--node", first.url, second.url, "--strategy", "round_robin"];
  await using proxy = await startProxy([...nodes, "--max-concurrency-per-node", "1"]);
  await untilHealthy(proxy, 2);
  for (const { url } of [first, second]) await listed(proxy, url, "a");
  first.adapters.delete("a");
  second.answerMs = 100;
  const asked = Array.from({ length: 12 }, () => ask(proxy, { model: "a" }));
  const statuses = (await Promise.all(asked)).map(({ status }) => status);
  expect(statuses).toEqual(times(12, 200));
  expect(first.asked.length).toBeGreaterThan(0);
});
