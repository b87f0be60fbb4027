/** Each failed attempt that calls for another is counted with what came of that. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

/** Answers questions well and requests with 500. */
function startBroken(): Bun.Server<undefined> {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: { "/v1/models": Response.json({ object: "list", data: [{ id: "m" }] }) },
    fetch: ({ method }) =>
      method === "GET" ? new Response() : new Response("broken", { status: 500 }),
  });
}

async function retriesOf(
  nodes: number,
  requests: number,
): Promise<Readonly<Record<string, number>>> {
  const engines = Array.from({ length: nodes }, startBroken);
  const flags = engines.flatMap(({ url }) => ["--node", url.origin]);
  await using proxy = await startProxy(flags);
  await untilHealthy(proxy, nodes);
  const ask = async () => {
    const body = JSON.stringify({ model: "m", prompt: "x" });
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${proxy.url}/v1/completions`, { method: "POST", headers, body });
    expect(answer.status).toBe(500);
    await answer.text();
  };
  await Promise.all(Array.from({ length: requests }, ask));
  await until("all have ended", async () => {
    const open: unknown = await (await fetch(`${proxy.url}/debug/requests`)).json();
    return Array.isArray(open) && open.length === 0;
  });
  const page = await (await fetch(`${proxy.url}/metrics`)).text();
  await Promise.all(engines.map((engine) => engine.stop(true)));
  const series = page.matchAll(
    /^lmproxy_retries_total\{reason="answered",result="(\w+)"\} (\d+)$/gm,
  );
  return Object.fromEntries([...series].map(([, result = "", count]) => [result, Number(count)]));
}

test("tried, and then not again for want of budget", async () => {
  const { tried = 0, no_budget = 0 } = await retriesOf(3, 60);
  expect(tried).toBeGreaterThan(0);
  expect(no_budget).toBeGreaterThan(0);
});

test("or of another node", async () => {
  expect(await retriesOf(1, 1)).toEqual({ no_node: 1 });
});
