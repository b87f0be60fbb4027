import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { ask } from "../support/ask.ts";
import { silence, startOddEngine } from "../support/odd-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

let engine: RunningEngine;
let dead: RunningEngine;
let proxy: ProxyProcess;

const KEYS = ["--api-keys", "team-a:sk-client", "sk-other", "--admin-key", "sk-admin"];

beforeAll(async () => {
  engine = await startEngine({ port: 0, models: ["m"] });
  dead = await startEngine({ port: 0, models: ["m"] });
  const nodes = ["--node", engine.url, "--node", dead.url];
  proxy = await startProxy([...nodes, ...KEYS, "--metrics-port", "0", "--health-interval", "0.1"]);
  await untilHealthy(proxy, 2, "sk-admin");
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await engine.stop();
});

function post(body: object, key = "sk-client", more = {}): Promise<Response> {
  return fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}`, ...more },
    body: JSON.stringify({ messages: [{ role: "user", content: "hi" }], max_tokens: 3, ...body }),
  });
}

/** The page, as an administrator reads it on the main port. */
async function page(headers: Record<string, string> = {}): Promise<string> {
  const answer = await fetch(`${proxy.url}/metrics`, {
    headers: { authorization: "Bearer sk-admin", ...headers },
  });
  expect(answer.status).toBe(200);
  return await answer.text();
}

interface Answer {
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
}

function figure(text: string, series: string): number {
  const line = text.split("\n").find((one) => one.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

test("every request is counted once, by what its client got", async () => {
  await (await post({ model: "m" })).text();
  await (await post({ model: "m", stream: true })).text();
  await (await post({ model: "nobody-serves-this" })).text();
  await (await post({ model: "m" }, "wrong")).text();
  const text = await page();
  const of = (rest: string) =>
    figure(text, `lmproxy_requests_total{endpoint="/v1/chat/completions",${rest}}`);
  expect(of('model="m",code="200",outcome="answered"')).toBe(2);
  expect(of('model="unknown",code="404",outcome="rejected"')).toBe(1);
  expect(of('model="",code="401",outcome="rejected"')).toBe(1);
  expect(figure(text, 'lmproxy_rejected_total{reason="auth"}')).toBe(1);
  expect(text).not.toContain("nobody-serves-this");
  expect(figure(text, 'lmproxy_client_requests_total{client="team-a"}')).toBe(3);
  const logged = () => proxy.log().match(/"client":"key:team-a"/g)?.length;
  await until("each has its line", () => logged() === 3);
  await (await post({ model: "m" }, "sk-other")).text();
  expect(await page()).toContain('lmproxy_client_requests_total{client="2"} 1\n');
  expect(proxy.log() + (await page())).not.toContain("sk-");
});

test("what the proxy counts of its nodes is what the engines count", async () => {
  await Promise.all(Array.from({ length: 20 }, async () => (await post({ model: "m" })).text()));
  const text = await page();
  const answered = [engine, dead].map(({ url }) =>
    figure(text, `lmproxy_node_requests_total{node="${url}",outcome="answered"}`),
  );
  const completed = [engine, dead].map((one) => one.state().completedRequests);
  expect(answered).toEqual(completed);
});

test("an answer of 500 is a failure of its node, a client that left is none", async () => {
  const odd = startOddEngine({ answer: () => new Response("{}", { status: 500 }) });
  await using alone = await startProxy(["--node", odd.url, "--no-retry"]);
  await untilHealthy(alone, 1);
  const counted = async (series: string) =>
    figure(await (await fetch(`${alone.url}/metrics`)).text(), series);
  const attempts = (outcome: string) =>
    counted(`lmproxy_node_requests_total{node="${odd.url}",outcome="${outcome}"}`);
  const failures = () => counted(`lmproxy_node_failures_total{node="${odd.url}"}`);
  const send = (signal?: AbortSignal) =>
    ask(alone, {}, signal === undefined ? {} : { signal }).then(
      (answer) => answer.bytes().then(() => answer.status),
      () => 0,
    );
  expect(await send()).toBe(500);
  await until("it has ended", async () => (await attempts("answered")) === 1);
  expect(await failures()).toBe(1);
  odd.answer = silence;
  const leaving = new AbortController();
  const left = send(leaving.signal);
  await until("it is there", () => odd.requests === 2);
  leaving.abort();
  expect(await left).toBe(0);
  await until("it has ended", async () => (await attempts("cancelled")) === 1);
  expect(await failures()).toBe(1);
  await odd.stop();
});

test("tokens are those that the answers say, in the log and in the metrics", async () => {
  const kinds = ["prompt", "output", "cached"];
  const counted = async () => {
    const text = await page();
    const of = (kind: string) => figure(text, `lmproxy_tokens_total{model="m",kind="${kind}"}`);
    return [...kinds.map(of), figure(text, "lmproxy_answers_without_usage_total")];
  };
  const before = await counted();
  const id = { "x-request-id": "tokens-1" };
  const ask = async (body: object) => (await post(body, "sk-client", id)).text();
  const messages = [{ role: "user", content: "word ".repeat(300) }];
  const { usage }: Answer = JSON.parse(await ask({ model: "m", messages }));
  const { prompt_tokens, completion_tokens } = usage;
  const { cached_tokens } = usage.prompt_tokens_details;
  await ask({ model: "m", stream: true });
  const after = await counted();
  expect(prompt_tokens).toBeGreaterThan(100);
  const grown = after.map((count, at) => count - (before[at] ?? 0));
  expect(grown).toEqual([prompt_tokens, completion_tokens, cached_tokens, 1]);
  await until("both are in the log", async () => lines().length === 2);
  expect(lines()[0]).toMatchObject({
    prompt_tokens,
    output_tokens: completion_tokens,
    cached_tokens,
  });
  expect(Object.keys(lines()[1] ?? {})).not.toContain("prompt_tokens");
  function lines(): Record<string, unknown>[] {
    const all = proxy.log().split("\n");
    return all.filter((line) => line.includes("tokens-1")).map((line) => JSON.parse(line));
  }
});

test("a node that dies shows its state, and one that is removed has no series any more", async () => {
  await dead.stop();
  const unhealthy = `lmproxy_node_state{node="${dead.url}",state="unhealthy"}`;
  await until("it is out", async () => figure(await page(), unhealthy) === 1);
  expect(figure(await page(), 'lmproxy_model_nodes{model="m",role="Hybrid",state="healthy"}')).toBe(
    1,
  );
  await fetch(`${proxy.url}/nodes/remove`, {
    method: "POST",
    headers: { authorization: "Bearer sk-admin" },
    body: JSON.stringify({ url: dead.url }),
  });
  expect(await page()).not.toContain(dead.url);
});

test("with DistServe the nodes of a model are counted by role, and a role of which there is none by 0", async () => {
  const decode = await startEngine({ port: 0, models: ["m"], role: "Decode" });
  await using both = await startProxy([
    ...["--serving-strategy", "DistServe", "--decode", decode.url, "--health-interval", "0.1"],
  ]);
  await untilHealthy(both, 1);
  const healthy = async (role: string) => {
    const text = await (await fetch(`${both.url}/metrics`)).text();
    return text.match(
      `lmproxy_model_nodes{model="m",role="${role}",state="healthy"} (\\d+)\n`,
    )?.[1];
  };
  await until("its model is known", async () => (await healthy("Decode")) === "1");
  expect(await healthy("Prefill")).toBe("0");
  await decode.stop();
});

test("with DistServe each role's strategy is named, on the live page too", async () => {
  await using both = await startProxy([
    ...["--serving-strategy", "DistServe", "--decode-strategy", "min_cache_usage"],
  ]);
  const text = await (await fetch(`${both.url}/metrics`)).text();
  const said = text.match(/(?<=^lmproxy_strategy_info).*/gm);
  expect(said).toEqual([
    '{strategy="prefix_aware",role="Prefill"} 1',
    '{strategy="min_cache_usage",role="Decode"} 1',
  ]);
  const leave = new AbortController();
  const live = await fetch(`${both.url}/debug/live`, { signal: leave.signal });
  const first = await live.body?.getReader().read();
  leave.abort();
  expect(new TextDecoder().decode(first?.value)).toContain(
    '"strategy":"prefix_aware / min_cache_usage"',
  );
});

test("docs/observing.md names each of them, with its labels", async () => {
  const file = await Bun.file(join(import.meta.dir, "../../docs/observing.md")).text();
  const section = file.split("\n## ").find((one) => one.startsWith("Metrics\n")) ?? "";
  const named = new Map(
    [...section.matchAll(/`((?:lmproxy|process)_\w+)(?:\{([\w,]+)\})?`/g)].map(
      ([, name = "", labels = ""]) => [name, labels],
    ),
  );
  const text = await page();
  const shown = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  const names = [...shown.map(([, name = ""]) => name), "lmproxy_tls_not_after_timestamp_seconds"];
  expect([...named.keys()].sort()).toEqual(names.sort());
  for (const [, name = "", type] of shown) {
    const series = type === "histogram" ? `${name}_count` : name;
    const sample = text.match(new RegExp(`^${series}(?:\\{(.*)\\})? `, "m"));
    if (sample === null) continue;
    const labels = [...(sample[1] ?? "").matchAll(/(\w+)="/g)].map(([, label]) => label);
    expect([name, labels.join()]).toEqual([name, named.get(name) ?? ""]);
  }
});

test("the main port shows it to administrators only, the other one to anybody", async () => {
  expect((await fetch(`${proxy.url}/metrics`)).status).toBe(401);
  const client = { authorization: "Bearer sk-client" };
  expect((await fetch(`${proxy.url}/metrics`, { headers: client })).status).toBe(401);
  const open = /"url":"(http:[^"]+\/metrics)"/.exec(proxy.log())?.[1] ?? "";
  const answer = await fetch(open);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(await answer.text()).toContain("lmproxy_build_info{");
  expect((await fetch(open.replace("/metrics", "/nodes/status"))).status).toBe(404);
  expect((await fetch(`${proxy.url}/engine_metrics`, { headers: client })).status).toBe(401);
});

test("OpenMetrics is spoken to whoever asks for it", async () => {
  expect(await page({ accept: "application/openmetrics-text; version=1.0.0" })).toEndWith(
    "# EOF\n",
  );
});

test("/nodes/status tells how a node does beside its peers", async () => {
  // One whose pieces all came at once, on a busy machine, tells nothing of the time between them.
  await until("pieces came one after the other", async () => {
    await (await post({ model: "m", stream: true, max_tokens: 200 })).text();
    return (await proxy.status("sk-admin"))[engine.url]?.piece_p50_s !== null;
  });
  const status = (await proxy.status("sk-admin"))[engine.url];
  expect(status?.first_byte_p50_s).toBeGreaterThan(0);
  expect(status?.piece_p50_s).toBeGreaterThan(0);
  // The only one is the median.
  expect(status?.first_byte_ratio).toBe(1);
  expect(status?.errors_5m).toBe(0);
  expect(status?.oldest_request_s).toBeNull();
});

test("a name without an end fills neither the log nor what runs", async () => {
  await (await post({ model: `${"x".repeat(1_000)}-the-end` })).text();
  await until("it is logged", () => proxy.log().includes('"model":"xxxx'));
  expect(proxy.log()).not.toContain("-the-end");
});

test("--log-level holds for the lines of requests as well", async () => {
  await using quiet = await startProxy(["--node", engine.url, "--log-level", "warning"]);
  await untilHealthy(quiet);
  const ask = (model: string) =>
    fetch(`${quiet.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, prompt: "x", max_tokens: 1 }),
    });
  expect((await ask("m")).status).toBe(200);
  engine.setFaults([{ fault: { kind: "answer", status: 500 } }]);
  expect((await ask("m")).status).toBe(500);
  engine.setFaults([]);
  await until("the failure is logged", () => quiet.log().includes('"status":500'));
  expect(quiet.log()).not.toContain('"status":200');
});
