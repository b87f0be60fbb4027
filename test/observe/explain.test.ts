/** Why a request went where it went: told by the choice itself, by the API, the log and on answers. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { Explanations } from "../../src/http/schemas.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { run } from "../commands/program.ts";
import { startCluster } from "../distserve/cluster.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
let engines: RunningEngine[] = [];
let proxy: ProxyProcess;

beforeAll(async () => {
  const four = Array.from({ length: 4 }, () => startEngine({ port: 0, models: ["m"] }));
  engines = await Promise.all(four);
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const flags = ["--admin-key", "sk-admin", "--expose-node", "--strategy", "min_cache_usage"];
  proxy = await startProxy([...nodes, ...flags, "--health-interval", "60"]);
  await untilHealthy(proxy, 4, "sk-admin");
  await until("all gauges are known", async () => {
    const known = Object.values(await proxy.status("sk-admin"));
    return known.every(({ cache_usage }) => cache_usage !== null);
  });
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await Promise.all(engines.map((engine) => engine.stop(true)));
});

function ask(id: string, model = "m"): Promise<Response> {
  return fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-request-id": id },
    body: JSON.stringify({ model, prompt: "x", max_tokens: 2 }),
  });
}

async function explain(id: string, at = proxy): Promise<Static<typeof Explanations>> {
  const headers = { authorization: "Bearer sk-admin" };
  const answer: unknown = await (await fetch(`${at.url}/debug/requests/${id}`, { headers })).json();
  Value.Assert(Explanations, answer);
  return answer;
}

const Line = Type.Object({ id: Type.String() }, { additionalProperties: true });

async function lineOf(id: string): Promise<Readonly<Record<string, unknown>>> {
  const find = () => {
    for (const text of proxy.log().split("\n")) {
      const line: unknown = text.startsWith("{") ? JSON.parse(text) : null;
      if (Value.Check(Line, line) && line.id === id) return { ...line };
    }
    return null;
  };
  await until("its line is there", () => find() !== null);
  return find() ?? {};
}

test("the figures are those the strategy saw, and the log has the two scores", async () => {
  const answer = await ask("why");
  expect(answer.headers.get("x-lmproxy-attempts")).toBe("1");
  const node = answer.headers.get("x-lmproxy-node");
  await answer.text();
  const [one] = await explain("why");
  expect(one).toMatchObject({ phase: null, status: 200, outcome: "answered", model: "m" });
  expect(one?.attempts).toHaveLength(1);
  const choice = one?.attempts[0]?.choice;
  expect(choice).toMatchObject({ why: "strategy", strategy: "min_cache_usage", candidates: 4 });
  const best = choice?.best ?? [];
  expect(best.map((weighed) => weighed.node)).toHaveLength(3);
  expect(new Set(best.map((weighed) => weighed.node)).size).toBe(3);
  expect(best[0]?.node).toBe(node ?? "");
  for (const { seen, score, sample_age_ms } of best) {
    expect(seen).toMatchObject({ load: 0 });
    // A hash of its address says nothing, least of all beside the request's id.
    expect(seen).not.toHaveProperty("id");
    // What the strategy makes of them.
    const { load, usage_per_request, weight } = seen;
    const cost = (((load ?? 0) + 1) * (usage_per_request ?? 0)) / (weight ?? 0);
    expect(score).toBeCloseTo(cost, 9);
    expect(sample_age_ms).toBeGreaterThanOrEqual(0);
  }
  const line = await lineOf("why");
  expect(line).toMatchObject({ strategy: "min_cache_usage", candidates: 4, node });
  expect(line.next_node).toBe(best[1]?.node ?? "");
  expect(line.score).toBeCloseTo(best[0]?.score ?? -1, 4);
  expect(line.next_score).toBeCloseTo(best[1]?.score ?? -1, 4);
  expect(line.sample_age_ms).toBe(best[0]?.sample_age_ms ?? -1);
});

test("all of an id, the last first; nobody's is said to be nobody's", async () => {
  await (await ask("again")).text();
  expect((await ask("again", "nobody-serves-this")).headers.get("x-lmproxy-node")).toBeNull();
  const [last, first, ...others] = await explain("again");
  expect(last).toMatchObject({ status: 404, outcome: "rejected", attempts: [] });
  expect(first).toMatchObject({ status: 200 });
  expect(others).toEqual([]);
  const at = ["--proxy-url", proxy.url, "--admin-key", "sk-admin"];
  const nobody = await run(["explain", "nobody", ...at]);
  expect(nobody.code).toBe(1);
  expect(nobody.err).toContain("Nothing is known of the id nobody");
  const shown = await run(["explain", "again", ...at]);
  expect(shown.code).toBe(0);
  expect(shown.out).toContain("min_cache_usage chose it among 4; the lowest score wins.");
  expect(shown.out.replaceAll(/\s+/g, " ")).toMatch(/ equal: .*cached bytes 0/);
  expect(shown.out).toMatch(/ answer +\d+ bytes in 1 piece\n/);
  expect(shown.out).toContain("It was sent to no node.");
  const strangers = await fetch(`${proxy.url}/debug/requests/again`);
  expect(strangers.status).toBe(401);
});

test("a failed attempt says what failed, and the next one was chosen among the rest", async () => {
  const [dead] = engines;
  await dead?.stop(true);
  let failed: Static<typeof Explanations>[number] | undefined;
  for (let at = 0; failed === undefined && at < 50; at += 1) {
    await (await ask(`after-${at}`)).text();
    failed = (await explain(`after-${at}`)).find(({ attempts }) => attempts.length === 2);
  }
  const [first, second] = failed?.attempts ?? [];
  expect(first).toMatchObject({ node: dead?.url ?? "", choice: { candidates: 4 } });
  expect(["refused", "lost"]).toContain(first?.outcome ?? "");
  expect(first?.detail).toContain("connection");
  expect(second).toMatchObject({ outcome: "answered", choice: { candidates: 3 } });
  const at = ["--proxy-url", proxy.url, "--admin-key", "sk-admin"];
  const { out } = await run(["explain", failed?.id ?? "", ...at]);
  for (const { choice } of failed?.attempts ?? []) {
    for (const [place, { node }] of (choice?.best ?? []).entries()) {
      expect(out).toContain(`      ${place + 1}  ${node}\n`);
    }
  }
  expect(out).toMatch(/^ +1 +2 +3\n {6}score +0\.?\d* +0\.?\d* +0/m);
  expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
});

test("both steps of DistServe are explained", async () => {
  await using cluster = await startCluster({ prefills: 2, decodes: 2 });
  const headers = { "content-type": "application/json", "x-request-id": "steps" };
  expect((await cluster.chat({}, { headers })).status).toBe(200);
  await cluster.quiet();
  const [one] = await explain("steps", cluster.proxy);
  const urls = one?.attempts.map(({ node }) => node) ?? [];
  expect(cluster.prefills.map(({ url }) => url)).toContain(urls[0] ?? "");
  expect(cluster.decodes.map(({ url }) => url)).toContain(urls[1] ?? "");
  for (const { choice, node } of one?.attempts ?? []) {
    expect(choice).toMatchObject({ why: "strategy", candidates: 2 });
    expect(choice?.best[0]?.node).toBe(node);
  }
});
