/** A real Prometheus reads a loaded proxy: the page, every query of the dashboard, the alerts. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { startPrometheus } from "../support/prometheus.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(90_000);

/** A scrape may take as long as lies between two of them, on a busy machine more than a second; rates need two. */
const [INTERVAL, WINDOW] = ["2s", "16s"];

const DEPLOY = join(import.meta.dir, "../../deploy");
const [prometheus, promtool] = ["prometheus", "promtool"].map((name) => Bun.which(name));
const isHere = prometheus != null && promtool != null;
if (!isHere) console.warn("skipped: Prometheus. Install Debian's package prometheus.");

const Dashboard = Type.Object({
  panels: Type.Array(
    Type.Object({
      title: Type.String(),
      targets: Type.Optional(Type.Array(Type.Object({ expr: Type.String() }))),
    }),
  ),
});
const Answer = Type.Object({
  status: Type.Literal("success"),
  data: Type.Object({ result: Type.Array(Type.Unknown()) }),
});

async function tool(args: readonly string[], input = ""): Promise<string> {
  const child = Bun.spawn({
    cmd: [promtool ?? "", ...args],
    cwd: join(DEPLOY, "prometheus"),
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return (await child.exited) === 0 ? "" : said.join("");
}

// Seconds of work, before the load of the others begins.
test.skipIf(!isHere)(
  "Prometheus finds the rules right, each alert with its fault and none without",
  async () => {
    expect(await tool(["check", "rules", "lmproxy-rules.yaml"])).toBe("");
    expect(await tool(["test", "rules", "lmproxy-rules-test.yaml"])).toBe("");
  },
);

describe.skipIf(!isHere)("Prometheus", () => {
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-prometheus-"));
  let proxy: ProxyProcess;
  let engines: RunningEngine[] = [];
  const stops: (() => unknown)[] = [];
  let base = "";

  beforeAll(async () => {
    engines = await Promise.all(
      [1, 2, 3].map(() => startEngine({ port: 0, models: ["m"], timeScale: 1 })),
    );
    const [doomed] = engines;
    for (const engine of engines.slice(1)) stops.push(() => engine.stop());
    // One that is always busy: its requests go elsewhere.
    const busy = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      routes: { "/v1/models": Response.json({ object: "list", data: [{ id: "m" }] }) },
      fetch: ({ method }) => new Response(null, { status: method === "POST" ? 503 : 200 }),
    });
    stops.push(() => busy.stop(true));
    const nodes = [...engines.map(({ url }) => url), busy.url.origin].flatMap((url) => [
      "--node",
      url,
    ]);
    const quick = ["--health-interval", "0.2", "--metrics-interval", "0.5"];
    const flags = ["--api-keys", "team-a:k-1", "--metrics-port", "0", "--max-concurrency", "4"];
    proxy = await startProxy([...nodes, ...quick, ...flags]);
    stops.push(() => proxy.end("SIGKILL"));
    await untilHealthy(proxy, 4, "k-1");
    const load = keepAsking(proxy.url);
    stops.push(() => load.stop());
    const [, metricsPage = ""] = await until("it says where its metrics are", () =>
      /"url":"(http:[^"]+\/metrics)"/.exec(proxy.log()),
    );
    const metricsUrl = new URL(metricsPage);
    const watched = [{ target: metricsUrl.host }];
    const server = await startPrometheus({ folder, watched, interval: INTERVAL });
    stops.push(() => server.stop());
    base = server.url;
    await until("it reads the proxy", async () => (await series("up == 1")) > 0);
    await doomed?.stop();
    // Rates need two samples of what came after the first.
    const changes = `rate(lmproxy_node_state_changes_total{to="unhealthy"}[${WINDOW}])`;
    await until("it has seen one die", async () => (await series(changes)) > 0);
    const retries = `rate(lmproxy_retries_total[${WINDOW}])`;
    await until("it has seen a retry", async () => (await series(retries)) > 0);
  });

  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
    rmSync(folder, { recursive: true });
  });

  /** How many series a query gives. */
  async function series(query: string): Promise<number> {
    const answer = await fetch(`${base}/api/v1/query?query=${encodeURIComponent(query)}`).catch(
      () => null,
    );
    if (answer === null || answer.status === 503) return 0;
    const read: unknown = await answer.json();
    if (!Value.Check(Answer, read)) throw new Error(`${query}: ${JSON.stringify(read)}`);
    return read.data.result.length;
  }

  test("finds nothing wrong with the page, in either dialect", async () => {
    const metrics = await fetch(`${proxy.url}/metrics`, {
      headers: { authorization: "Bearer k-1" },
    });
    expect(await tool(["check", "metrics"], await metrics.text())).toBe("");
  });

  test("finds no more wrong with all engines' metrics on one page than with each engine's own", async () => {
    const headers = { authorization: "Bearer k-1" };
    const page = await (await fetch(`${proxy.url}/engine_metrics`, { headers })).text();
    const [, ...alive] = engines.map(({ url }) => url);
    const own = await Promise.all(
      alive.map(async (url) =>
        tool(["check", "metrics"], await (await fetch(`${url}/metrics`)).text()),
      ),
    );
    const known = new Set(own.flatMap((said) => said.split("\n")));
    const said = await tool(["check", "metrics"], page);
    expect(said.split("\n").filter((line) => line !== "" && !known.has(line))).toEqual([]);
    for (const url of alive) {
      expect(page).toContain(`lmproxy_engine_metrics_read{node="${url}"} 1\n`);
      expect(page).toMatch(RegExp(`lmdeploy:num_requests_running\\{node="${url}",[^}]*\\} \\d`));
    }
    expect(page.match(/# TYPE lmdeploy:num_requests_running gauge\n/g)).toHaveLength(1);
    expect(page).toContain(`lmproxy_engine_metrics_read{node="${engines[0]?.url}"} 0\n`);
  });

  test("has data for every query of the dashboard", async () => {
    const file: unknown = await Bun.file(join(DEPLOY, "grafana/lmproxy.json")).json();
    Value.Assert(Dashboard, file);
    for (const { title, targets = [] } of file.panels) {
      for (const { expr } of targets) {
        const query = expr
          .replaceAll("$__rate_interval", WINDOW)
          .replaceAll(/\$(instance|model|node)\b/g, ".*");
        // A busy machine has some scrapes fail.
        await until(`${title} shows ${query}`, async () => (await series(query)) > 0);
      }
    }
  });

  test("knows every metric that the rules name", async () => {
    const rules = await Bun.file(join(DEPLOY, "prometheus/lmproxy-rules.yaml")).text();
    const names = new Set(rules.match(/\b(?:lmproxy_|process_)\w+/g));
    // Only with TLS.
    const ofTls = "lmproxy_tls_not_after_timestamp_seconds";
    expect([names.delete(ofTls), await series(ofTls)]).toEqual([true, 0]);
    for (const name of names) {
      await until(`${name} is there`, async () => (await series(name)) > 0);
    }
  });

  test("each alert has its runbook", async () => {
    const rules = await Bun.file(join(DEPLOY, "prometheus/lmproxy-rules.yaml")).text();
    const runbooks = await Bun.file(join(DEPLOY, "../docs/runbooks.md")).text();
    const sections = new Set(
      [...runbooks.matchAll(/^## (\w+)$/gm)].map(([, title]) => title?.toLowerCase()),
    );
    const named = [...rules.matchAll(/runbook_url: docs\/runbooks\.md#(\w+)/g)];
    expect(named.length).toBeGreaterThan(10);
    for (const [, anchor] of named) expect(sections).toContain(anchor);
  });
});

/** A load with all that there is to count: streams, refusals, waiting, clients that leave. */
function keepAsking(url: string): { stop(): Promise<void> } {
  let isOver = false;
  const ask = async (body: object, signal?: AbortSignal) => {
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer k-1", "content-type": "application/json" },
      body: JSON.stringify({ messages: [{ role: "user", content: "hi" }], ...body }),
      ...(signal === undefined ? {} : { signal }),
    });
    await answer.bytes();
  };
  const client = async (act: () => Promise<void>) => {
    while (!isOver) {
      await act().catch(() => {});
      // A load that only fails leaves others their turn.
      await new Promise((resume) => setImmediate(resume));
    }
  };
  const stream_options = { include_usage: true };
  const clients = [
    ...Array.from({ length: 6 }, () =>
      client(() => ask({ model: "m", stream: true, stream_options, max_tokens: 5 })),
    ),
    client(async () => {
      await ask({ model: "unknown-to-all" });
      await ask({ model: "m", max_tokens: 400 }, AbortSignal.timeout(20));
    }),
  ];
  return {
    async stop() {
      isOver = true;
      await Promise.all(clients);
    },
  };
}
