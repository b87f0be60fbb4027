/** The live page and its stream, as whoever is not a browser meets them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { liveStream } from "../../src/http/live/stream.ts";
import type { Watcher } from "../../src/observe/live.ts";
import { Cluster, isFrame } from "../../src/page/cluster.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { ask } from "../support/ask.ts";
import { startGateEngine } from "../support/gate-engine.ts";
import { kill } from "../support/kill.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const KEY = "the-admin-key";
const HTML = { headers: { accept: "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8" } };
let proxy: ProxyProcess;

beforeAll(async () => {
  const flags = ["--admin-key", KEY, "--node", "http://127.0.0.1:9"];
  proxy = await startProxy(flags);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
});

function watch(headers: Readonly<Record<string, string>> = {}, abort = new AbortController()) {
  return fetch(`${proxy.url}/debug/live`, {
    headers: { authorization: `Bearer ${KEY}`, ...headers },
    signal: abort.signal,
  });
}

/** The first so many lines. */
async function lines(answer: Response, count: number): Promise<unknown[]> {
  const found: unknown[] = [];
  let rest = "";
  const decoder = new TextDecoder();
  for await (const piece of answer.body ?? []) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    found.push(...parts.map((part): unknown => JSON.parse(part)));
    if (found.length >= count) break;
  }
  return found.slice(0, count);
}

describe("/", () => {
  test("is the page for browsers, leads others to /docs, and caches keep the two apart", async () => {
    const page = await fetch(proxy.url, HTML);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toStartWith("text/html");
    const other = await fetch(proxy.url, { redirect: "manual" });
    expect([other.status, other.headers.get("location")]).toEqual([302, "/docs"]);
    expect(page.headers.get("content-security-policy")).toContain("trusted-types 'none'");
    expect([page, other].map(({ headers }) => headers.get("vary"))).toEqual(["Accept", "Accept"]);
  });

  test("says nothing that strangers may not know, and names no other host", async () => {
    const html = await (await fetch(proxy.url, HTML)).text();
    expect(html).not.toMatch(/<style|style=|\son\w+=|<script(?![^>]*\ssrc=)/);
    expect(html).not.toMatch(/\/\/[a-z]/i);
    expect(html).not.toContain("127.0.0.1");
  });

  test("what the page names is served, typed, unsniffed, kept, and holds no other host", async () => {
    const html = await (await fetch(proxy.url, HTML)).text();
    const paths = [...html.matchAll(/(?:src|href)="(\/live\/[^"]+)"/g)].map(
      ([, path = ""]) => path,
    );
    expect(paths.length).toBe(3);
    for (const path of paths) {
      const answer = await fetch(proxy.url + path);
      const { headers } = answer;
      expect([path, answer.status, headers.get("x-content-type-options")]).toEqual([
        path,
        200,
        "nosniff",
      ]);
      expect(headers.get("content-security-policy")).toStartWith("default-src 'none'; ");
      expect(headers.get("content-security-policy")).not.toContain("unsafe");
      expect(headers.get("content-type")).toMatch(/^(text\/(javascript|css)|image\/svg\+xml)/);
      const known = { "if-none-match": headers.get("etag") ?? "" };
      const again = await fetch(proxy.url + path, { headers: known });
      expect([path, again.status]).toEqual([path, 304]);
    }
    const script = await (await fetch(`${proxy.url}/live/main.js`)).text();
    // Namespaces are names; nothing is fetched by them.
    expect(script.match(/https?:\/\/(?!www\.w3\.org\/|10\.)[\w.-]+/g) ?? []).toEqual([]);
    expect(script.length).toBeLessThan(60_000);
    expect((await fetch(`${proxy.url}/live/other.js`)).status).toBe(404);
  });
});

describe("/debug/live", () => {
  test("is for administrators, and for no page of another site", async () => {
    const stranger = await fetch(`${proxy.url}/debug/live`);
    expect([stranger.status, await stranger.text()]).toEqual([
      401,
      expect.stringContaining("admin key"),
    ]);
    expect((await watch({ authorization: "Bearer wrong" })).status).toBe(401);
    expect((await watch({ "sec-fetch-site": "cross-site" })).status).toBe(403);
    const head = await fetch(`${proxy.url}/debug/live`, {
      method: "HEAD",
      headers: { authorization: `Bearer ${KEY}` },
    });
    expect(head.status).toBe(405);
  });

  test("tells all at once and then what changes, a line each second, for nobody to keep", async () => {
    const answer = await watch();
    expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const [first, second] = await lines(answer, 2);
    expect(isFrame(first) && first.about).toMatchObject({ strategy: "min_expected_latency" });
    expect(JSON.stringify(first)).toContain("http://127.0.0.1:9");
    expect(isFrame(second) && second.about).toBeFalsy();
  });

  test("has room for 32, and again for whoever comes when others have left", async () => {
    const aborts = Array.from({ length: 32 }, () => new AbortController());
    const answers = await Promise.all(aborts.map((abort) => watch({}, abort)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const refused = await watch();
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
    for (const abort of aborts) abort.abort();
    await until("there is room again", async () => {
      const abort = new AbortController();
      const { status } = await watch({}, abort);
      abort.abort();
      return status === 200;
    });
  });

  test("with DistServe counts a model's nodes by role: none of the one makes up for the other", async () => {
    const decode = await startEngine({ models: ["m"], role: "Decode" });
    const roles = ["--decode", decode.url, "--prefill", "http://127.0.0.1:9"];
    await using both = await startProxy(["--serving-strategy", "DistServe", ...roles]);
    const shown = look(both.url);
    const counts = () =>
      shown.models.map((row) => [row.text("name"), row.text("healthy"), row.text("nodes")]);
    await until("the model is known", () => counts().length > 0);
    expect(shown.about?.needed).toEqual(["Prefill", "Decode"]);
    await until("its node is well", () => counts()[0]?.[1] === "0 1");
    expect(counts()).toEqual([["m", "0 1", "0 1"]]);
    await decode.stop();
  });

  test("of several workers, shows what all of them know, also of one that has died", async () => {
    const engine = startGateEngine();
    const flags = ["--workers", "2", "--node", engine.url, "--health-interval", "0.2"];
    await using several = await startProxy(flags);
    await untilHealthy(several);
    const ids = Array.from({ length: 12 }, (_, at) => `request-${at}`);
    const shown = look(several.url);
    const asked = ids.map((id) => ask(several, {}, { headers: { "x-request-id": id } }));
    await until("all are shown", () => shown.requests.length === ids.length);
    expect(shown.requests.map((row) => row.text("id")).sort()).toEqual(ids.toSorted());
    // Each worker tells of its own when it next does: what is counted comes together table by table.
    const counted = () =>
      [shown.nodes, shown.models].map((rows) => rows.map((row) => row.number("inFlight")));
    await until("they are counted", () => {
      return shown.totals.open === ids.length && Bun.deepEquals(counted(), [[12], [12]]);
    });
    expect(shown.nodes[0]?.number("oldestS")).toBeLessThanOrEqual(shown.tMs / 1_000 + 1);
    await engine.stop();
    for (const answer of asked) expect((await answer).status).toBe(502);
    const failed = ({ failures }: Cluster) =>
      failures.reduce((sum, row) => sum + (row.number("count") ?? 0), 0);
    await until("all failures are shown", () => failed(shown) === ids.length);
    await until("nothing runs", () => shown.requests.length + shown.totals.open === 0);
    expect(shown.failures.filter((row) => !ids.includes(row.text("id")))).toEqual([]);
    expect(shown.failures.every((row) => (row.number("endedMs") ?? 0) <= shown.tMs)).toBe(true);

    const pid = /worker serves","pid":(\d+)/.exec(several.log())?.[1];
    kill(pid, "SIGKILL");
    await until("another one serves", () => several.log().split("worker serves").length === 4);
    const again = look(several.url);
    await until("all failures are shown", () => failed(again) === ids.length);
    expect(again.past.series[2]?.reduce((sum, count) => sum + Math.max(count, 0), 0)).toBeLessThan(
      ids.length + 1,
    );
  });

  test("is shown to 32 over all workers, and ends with them", async () => {
    await using several = await startProxy(["--workers", "2"]);
    const aborts = Array.from({ length: 33 }, () => new AbortController());
    const answers = await Promise.all(
      aborts.map(({ signal }) => fetch(`${several.url}/debug/live`, { signal })),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([...answers.slice(1).map(() => 200), 503]);
    const [first] = answers.filter(({ status }) => status === 200);
    const body = first?.text();
    for (const [at, abort] of aborts.entries()) if (answers[at] !== first) abort.abort();
    expect(await several.end("SIGTERM")).toBe(0);
    expect(await body).toEndWith("\n");
  });

  test("SIGTERM ends it, and does not wait for who looks", async () => {
    await using other = await startProxy();
    const answer = await fetch(`${other.url}/debug/live`);
    const body = answer.text();
    const code = await other.end("SIGTERM");
    expect(code).toBe(0);
    expect(await body).toEndWith("\n");
    expect(other.log()).not.toContain("error");
  });

  test("a reader that takes nothing is sent away before it costs much", async () => {
    const { promise: looks, resolve } = Promise.withResolvers<Watcher>();
    let left = 0;
    const answer = await liveStream({
      watch(one) {
        resolve(one);
        return () => (left += 1);
      },
    });
    const watcher = await looks;
    const line = `${"x".repeat(100_000)}\n`;
    let told = 0;
    while (left === 0 && told < 100) {
      watcher.tell(line);
      told += 1;
    }
    expect(left).toBe(1);
    expect(told).toBeLessThan(15);
    expect(Math.floor((await answer.bytes()).length / line.length)).toBe(told - 1);
  });
});

/** What somebody sees who looks at the page, until the connection ends. */
function look(url: string): Cluster {
  const shown = new Cluster();
  const read = async () => {
    const answer = await fetch(`${url}/debug/live`);
    let rest = "";
    for await (const piece of answer.body ?? []) {
      const parts = (rest + Buffer.from(piece).toString()).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) {
        const frame: unknown = JSON.parse(part);
        if (isFrame(frame)) shown.apply(frame);
      }
    }
  };
  read().catch(() => {});
  return shown;
}
