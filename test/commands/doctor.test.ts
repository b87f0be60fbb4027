/** `lmproxy doctor` finds what is wrong, each fault planted, and nothing where nothing is. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { temporaryFolder } from "../state/entries.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { EXPIRED_ELSEWHERE, TEST_KEY } from "../support/tls/files.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";
import { run } from "./program.ts";

setDefaultTimeout(60_000);

const Report = Type.Object({
  findings: Type.Array(
    Type.Object({
      check: Type.String(),
      about: Type.String(),
      what: Type.String(),
      advice: Type.String(),
    }),
  ),
});
type Finding = (typeof Report)["static"]["findings"][number];

/** A sample is old after three intervals; on a busy machine a poll may be late. */
const INTERVAL_S = 2;
const QUICK = ["--health-interval", "0.2", "--metrics-interval", `${INTERVAL_S}`];
const WELL = { running: 1, waiting: 0, usage: 0.1 };
const stops: (() => unknown)[] = [];

interface Fake {
  readonly models?: readonly string[];
  readonly gauges?: typeof WELL | null;
  /** Pages of metrics that it answers before it answers them no more. */
  readonly pages?: number;
  readonly date?: string;
  readonly wantsKey?: boolean;
  readonly delayMs?: number;
  readonly tls?: boolean;
  /** Answers begin, and never end. */
  readonly hangs?: boolean;
  /** It is some web server. */
  readonly isPage?: boolean;
}

/** An engine with one fault. */
function fake({ models = ["m"], gauges = WELL, pages = Infinity, ...more }: Fake): string {
  let asked = 0;
  const metrics = () => {
    asked += 1;
    if (gauges === null || asked > pages) return new Response(null, { status: 404 });
    const { running, waiting, usage } = gauges;
    return new Response(
      `vllm:num_requests_running ${running}\nvllm:num_requests_waiting ${waiting}\n` +
        `vllm:kv_cache_usage_perc ${usage}\n`,
    );
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    ...(more.tls && { tls: { key: Bun.file(TEST_KEY), cert: Bun.file(EXPIRED_ELSEWHERE) } }),
    async fetch({ method, url }) {
      const { pathname } = new URL(url);
      if (pathname === "/health") {
        return new Response(null, more.date ? { headers: { date: more.date } } : {});
      }
      if (more.wantsKey) return new Response(null, { status: 401 });
      if (pathname === "/metrics") return metrics();
      if (more.isPage) return new Response("<h1>It works!</h1>");
      if (pathname === "/v1/models") {
        return Response.json({ object: "list", data: models.map((id) => ({ id })) });
      }
      if (method !== "POST") return new Response(null, { status: 404 });
      if (more.delayMs) await new Promise((resume) => setTimeout(resume, more.delayMs));
      if (!more.hangs) return Response.json({ choices: [{ index: 0, text: "a" }] });
      const said = 'data: {"choices":[{"index":0,"text":"a"}]}\n\n';
      const body = new ReadableStream({ start: (to) => to.enqueue(said) });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  stops.push(() => server.stop(true));
  return server.url.origin;
}

async function ask(
  proxy: ProxyProcess,
  model: string,
  more: object = {},
  key = "",
): Promise<Response> {
  return await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, prompt: "x", ...more }),
  });
}

async function examine(proxy: ProxyProcess, key: string | null): Promise<Finding[]> {
  const flags = ["--proxy-url", `http://127.0.0.1:${proxy.port}`];
  const keys = key === null ? [] : ["--admin-key", key];
  const { code, out, err } = await run(["doctor", "--json", ...flags, ...keys]);
  const report: unknown = JSON.parse(out === "" ? `"${err}"` : out);
  Value.Assert(Report, report);
  expect(code).toBe(report.findings.length === 0 ? 0 : 3);
  return report.findings;
}

afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
});

async function started(flags: readonly string[], files: number | null = null) {
  const limited = [
    "sh",
    "-c",
    `ulimit -n ${files}; exec "$0" "$@"`,
    process.execPath,
    "src/main.ts",
  ];
  const proxy = await startProxy([...QUICK, ...flags], files === null ? {} : { command: limited });
  stops.push(() => proxy.end("SIGKILL"));
  return proxy;
}

describe("faults that were planted", () => {
  const nodes = {
    gone: "http://127.0.0.1:9",
    locked: fake({ wantsKey: true }),
    page: fake({ isPage: true }),
    blind: fake({ gauges: null }),
    stale: fake({ pages: 2 }),
    still: fake({ models: ["still"], gauges: { running: 0, waiting: 0, usage: 0 }, hangs: true }),
    lacking: fake({ models: ["a"] }),
    complete: fake({ models: ["a", "b"] }),
    slow: fake({ models: ["s"], delayMs: 700 }),
    quick: fake({ models: ["s"] }),
    quicker: fake({ models: ["s"] }),
    elsewhere: fake({ tls: true }).replace("http:", "https:"),
    late: fake({ date: "Sat, 01 Jan 2000 00:00:00 GMT" }),
    shared: fake({ models: ["shared"], gauges: { ...WELL, running: 9 } }),
  };
  const prefill = fake({});
  const decode = fake({});
  const folder = temporaryFolder();
  const state = join(folder.path, "nodes.json");
  const found: { open: Finding[]; keyed: Finding[]; pairs: Finding[] } = {
    ...{ open: [], keyed: [], pairs: [] },
  };
  const urls: Record<keyof typeof found, string> = { open: "", keyed: "", pairs: "" };

  async function open(): Promise<void> {
    const proxy = await started(["--host", "0.0.0.0", "--strategy", "round_robin"]);
    urls.open = `http://127.0.0.1:${proxy.port}`;
    for (const url of Object.values(nodes)) {
      await fetch(`${urls.open}/nodes/add`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ url }),
      });
    }
    await until("those that are well are known", async () => {
      const statuses = await proxy.status();
      const well = Object.values(statuses).filter((status) => status.models.length > 0);
      return well.length >= 10 && statuses[nodes.gone]?.last_error !== null;
    });
    const held = await ask(proxy, "still", { stream: true });
    stops.push(() => held.body?.cancel());
    await until("those of one model have had enough to be compared", async () => {
      await Promise.all([1, 2, 3].map(() => ask(proxy, "s")));
      const statuses = await proxy.status();
      const alike = [nodes.slow, nodes.quick, nodes.quicker].map((url) => statuses[url]);
      return alike.every((status) => typeof status?.first_byte_ratio === "number");
    });
    await until("what is to be seen of age is old enough", async () => {
      const statuses = await proxy.status();
      const { [nodes.still]: still, [nodes.stale]: stale } = statuses;
      const [requestS, sampleS] = [still?.oldest_request_s ?? 0, stale?.last_metrics_age_s ?? 0];
      return requestS > 3 * INTERVAL_S + 1 && sampleS > 3 * INTERVAL_S;
    });
    found.open = await examine(proxy, null);
  }

  async function keyed(): Promise<void> {
    mkdirSync(`${state}.lock`);
    const proxy = await started(["--api-keys", "k", "--state", state], 1_000);
    urls.keyed = `http://127.0.0.1:${proxy.port}`;
    found.keyed = await examine(proxy, "k");
  }

  async function pairs(): Promise<void> {
    const flags = ["--prefill", prefill, "--decode", decode];
    const proxy = await started(["--serving-strategy", "DistServe", ...flags]);
    await untilHealthy(proxy, 2);
    found.pairs = await examine(proxy, null);
  }

  beforeAll(async () => {
    await Promise.all([open(), keyed(), pairs()]);
  });
  afterAll(() => folder[Symbol.dispose]());

  const PLANTED = [
    [
      "a node that nobody can reach",
      "open",
      "node-unreachable",
      nodes.gone,
      /is starting \(.*ECONNREFUSED/,
    ],
    ["an engine that wants a key", "open", "key-wanted", nodes.locked, /answered 401/],
    ["a node that is no engine", "open", "models-unknown", nodes.page, /GET \/v1\/models answered/],
    ["an engine without metrics", "open", "metrics-off", nodes.blind, /GET \/metrics answered 404/],
    ["samples that are old", "open", "samples-stale", nodes.stale, /last read \d/],
    ["gauges that never move", "open", "gauges-still", nodes.still, /gauges show nothing/],
    ["lists of models that differ", "open", "models-differ", nodes.lacking, /serve: b$/],
    ["a slow node", "open", "node-slow", nodes.slow, /median first byte is [\d.]+ m?s,/],
    ["requests of somebody else", "open", "other-traffic", nodes.shared, /runs 9 requests, and 0/],
    ["a certificate that has expired", "open", "certificate-expires", nodes.elsewhere, /expired/],
    ["a certificate of another name", "open", "certificate-name", nodes.elsewhere, /not for 127/],
    ["a clock that is wrong", "open", "clocks-apart", nodes.late, /behind the proxy's/],
    [
      "registration that is open to all",
      "open",
      "open-to-all",
      "",
      /anybody who reaches 0\.0\.0\.0/,
    ],
    ["nodes that a restart forgets", "open", "nodes-forgotten", "", /forgets them all/],
    ["keys without an admin key", "keyed", "no-admin-key", "", /every client's API key/],
    ["a state file that two may write", "keyed", "state-unlocked", "", /cannot be locked/],
    ["a limit of few open files", "keyed", "few-files", "", /may open 1000 files/],
    ["no node at all", "keyed", "no-node", "", /no nodes/],
    ["pairs that cannot connect", "pairs", "pairs-unconnected", prefill, /0 of 1 decode nodes/],
  ] as const;

  test.each(PLANTED)("%s", (_, where, check, node, what) => {
    const about = node === "" ? urls[where] : node;
    const finding = found[where].find((one) => one.check === check && one.about === about);
    expect(finding?.what).toMatch(what);
    expect(finding?.advice).not.toBe("");
  });

  test("and nothing else", () => {
    const count = ({ check, about }: Finding) => `${check} ${about}`;
    // The slow one may be out for that by then.
    const isSlowOut = (one: string) => one === `node-failing ${nodes.slow}`;
    const open = found.open.map(count).filter((one) => !isSlowOut(one));
    expect(open.toSorted()).toEqual(
      [
        ...PLANTED.filter(([, where]) => where === "open").map(
          ([, , check, node]) => `${check} ${node === "" ? urls.open : node}`,
        ),
        // Nor can the proxy reach one whose certificate is such.
        `node-unreachable ${nodes.elsewhere}`,
      ].toSorted(),
    );
    expect(found.keyed).toHaveLength(PLANTED.filter(([, where]) => where === "keyed").length);
  });
});

test("a state file that cannot be written is found", async () => {
  using folder = temporaryFolder();
  const full = join(folder.path, "nodes.json");
  writeFileSync(full, "", { mode: 0o400 });
  const proxy = await started(["--node", fake({}), "--state", full]);
  await until("it has tried", () => proxy.log().includes("nodes cannot be saved"));
  const unsaved = (await examine(proxy, null)).filter(({ check }) => check === "state-unsaved");
  expect(unsaved.map(({ what }) => what).join()).toContain(`${full} (the file is read-only)`);
});

test("a healthy cluster at work has nothing wrong, and a proxy that is not there cannot be asked", async () => {
  using folder = temporaryFolder();
  const engines = await Promise.all(
    [1, 2].map(() => startEngine({ port: 0, models: ["m"], timeScale: 1 })),
  );
  for (const engine of engines) stops.push(() => engine.stop());
  const keys = ["--api-keys", "k", "--admin-key", "a", "--state", join(folder.path, "nodes.json")];
  const proxy = await started([...keys, ...engines.flatMap(({ url }) => ["--node", url])]);
  await untilHealthy(proxy, 2, "a");
  // None of them ends before it was looked at: of two nodes that share a busy machine one may be slow.
  const endless = { stream: true, ignore_eos: true, max_tokens: 20_000 };
  const work = [1, 2, 3, 4].map(() => ask(proxy, "m", endless, "k"));
  expect(await examine(proxy, "a")).toEqual([]);
  const said = await run(["doctor", "--proxy-url", proxy.url, "--admin-key", "a"]);
  expect(said).toMatchObject({
    code: 0,
    out: "nothing is wrong, as far as can be seen from here\n",
  });
  await Promise.all((await Promise.all(work)).map((answer) => answer.body?.cancel()));
  await proxy.end("SIGKILL");
  expect(await run(["doctor", "--proxy-url", proxy.url])).toMatchObject({ code: 1, out: "" });
});
