/** Keys appear nowhere but where they belong, and nobody writes lines into the log that are not ours. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../commands/program.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { until } from "../support/until.ts";

const CLIENT = "canary-client-2f";
const ADMIN = "canary-admin-8a";
const UPSTREAM = "canary-upstream-c4";
const OTHER = "canary-other-77";
const CANARY = /canary-(?:client|admin|upstream|other)/;
const FORGED =
  '\ntime=2026-01-01T00:00:00.000Z level=error logger=lmproxy msg="forged"\x1b[31m\r\n';

/** All that an engine received, as text, request by request. */
const received: { readonly head: string; readonly body: string }[] = [];
let answer: () => Response = () => Response.json({ ok: 1 });

const engine = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const headers = JSON.stringify([...request.headers]);
    received.push({
      head: `${request.method} ${request.url} ${headers}`,
      body: await request.text(),
    });
    if (pathname === "/health") return Response.json({ status: "healthy" });
    if (pathname === "/metrics") return new Response("lmdeploy:gpu_cache_usage_perc 0.5\n");
    if (pathname === "/v1/models")
      return Response.json({ data: [{ id: "m" }, { id: `x${FORGED}` }] });
    return answer();
  },
});

let folder: string;
let proxy: ProxyProcess;
/** All that clients received. */
let told = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lmproxy-leaks-"));
  const keys = ["--api-keys", CLIENT, "--admin-key", ADMIN, "--upstream-api-key", UPSTREAM];
  const state = ["--state", join(folder, "nodes.json")];
  const flags = [...keys, ...state, "--node", engine.url.origin];
  proxy = await startProxy([...flags, "--log-level", "trace", "--health-interval", "0.05"]);
  await until("the node's models are known", async () =>
    Object.values(await proxy.status(ADMIN)).some(({ models }) => models.length === 2),
  );
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop(true);
  await rm(folder, { recursive: true });
});

async function ask(path: string, init: BunFetchRequestInit = {}): Promise<number> {
  const heard = await fetch(proxy.url + path, { redirect: "manual", ...init });
  const body = await heard.text().catch(String);
  told += `${JSON.stringify([...heard.headers])}${body}\n`;
  return heard.status;
}

function chat(headers: Record<string, string>, body = '{"model":"m"}'): Promise<number> {
  return ask("/v1/chat/completions", { method: "POST", body, headers });
}

function administer(path: string, body: string | null = null): Promise<number> {
  const headers = { authorization: `Bearer ${ADMIN}` };
  return ask(path, body === null ? { headers } : { method: "POST", body, headers });
}

const client = { authorization: `Bearer ${CLIENT}` };

test("keys are kept from everybody whom they do not concern", async () => {
  expect(await chat(client)).toBe(200);
  expect(await chat({ "x-api-key": CLIENT })).toBe(200);
  expect(
    await chat({ ...client, "x-api-key": CLIENT, "proxy-authorization": `Basic ${CLIENT}` }),
  ).toBe(200);
  for (const key of [OTHER, ADMIN, UPSTREAM])
    expect(await chat({ authorization: `Bearer ${key}` })).toBe(401);
  expect(await chat({ authorization: `Basic ${CLIENT}` })).toBe(401);
  expect(await chat(client, "[]")).toBe(400);
  expect(await chat(client, '{"model":"nobody\'s"}')).toBe(404);
  answer = () => new Response("no", { status: 500 });
  expect(await chat(client)).toBe(500);
  answer = () => new Response(null, { status: 307, headers: { location: "http://127.0.0.1:1/" } });
  expect(await chat(client)).toBe(307);
  for (const key of [CLIENT, OTHER]) {
    const headers = { authorization: `Bearer ${key}` };
    expect(await ask("/nodes/status", { headers })).toBe(401);
    expect(await ask("/v1/models", { headers })).toBe(key === CLIENT ? 200 : 401);
  }
  expect(await administer("/nodes/status")).toBe(200);
  expect(await administer("/nodes/add", `{"url":"http://u:${OTHER}@127.0.0.1:1"}`)).toBe(400);
  expect(await administer("/nodes/add", '{"url":"http://127.0.0.1:1"}')).toBe(200);
  expect(await administer("/nodes/drain", '{"url":"http://127.0.0.1:1"}')).toBe(200);
  expect(await administer("/nodes/remove", '{"url":"http://127.0.0.1:1"}')).toBe(200);
  expect(await administer("/nodes/terminate", '{"url":"http://127.0.0.1:1"}')).toBe(404);
  for (const path of ["/docs", "/openapi.json", "/health", "/ready", "/nope"])
    await ask(path, { headers: client });
  await until("the engine was asked everything", () =>
    ["/health", "/metrics", "/v1/models"].every((path) =>
      received.some(({ head }) => head.includes(path)),
    ),
  );
  expect(await administer("/nodes/add", '{"url":"http://127.0.0.1:3","models":["kept"]}')).toBe(
    200,
  );
  const files = await until("the state file holds the node", () => {
    const all = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => readFileSync(join(folder, name), "utf8"));
    return all.join().includes("http://127.0.0.1:3") && all;
  });

  expect(told).not.toMatch(CANARY);
  expect(proxy.log()).not.toMatch(CANARY);
  expect(files.join()).not.toMatch(CANARY);
  for (const { head, body } of received) {
    expect(head).toContain(`["authorization","Bearer ${UPSTREAM}"]`);
    expect(head.replaceAll(`Bearer ${UPSTREAM}`, "") + body).not.toMatch(CANARY);
  }
});

test("without --api-keys a client's key is its engine's, the admin key still nobody's", async () => {
  const flags = ["--admin-key", ADMIN, "--node", engine.url.origin];
  await using open = await startProxy(flags);
  await until("it is healthy", async () =>
    Object.values(await open.status(ADMIN)).some(({ models }) => models.length === 2),
  );
  answer = () => Response.json({ ok: 1 });
  const sent = async (headers: Record<string, string>) => {
    const init = { method: "POST", body: '{"model":"m"}', headers };
    expect((await fetch(`${open.url}/v1/completions`, init)).status).toBe(200);
    return received.findLast(({ head }) => head.includes("/v1/completions"))?.head ?? "";
  };
  expect(await sent({ authorization: `Bearer ${OTHER}` })).toContain(`Bearer ${OTHER}`);
  expect(await sent({ "x-api-key": OTHER })).toContain(OTHER);
  const mistakes = [
    `Bearer ${ADMIN}`,
    `bearer   ${ADMIN}`,
    ADMIN,
    `Basic ${ADMIN}`,
    `Bearer x, ${ADMIN}`,
  ];
  for (const authorization of mistakes) expect(await sent({ authorization })).not.toMatch(CANARY);
  expect(await sent({ "x-api-key": ADMIN, authorization: "Bearer x" })).not.toMatch(CANARY);
});

describe("keys are shown to no operator, either:", () => {
  const variables = {
    LMPROXY_API_KEYS: CLIENT,
    LMPROXY_ADMIN_KEY: ADMIN,
    LMPROXY_UPSTREAM_API_KEY: UPSTREAM,
  };
  const keys = ["--api-keys", CLIENT, OTHER, "--admin-key", ADMIN, "--upstream-api-key", UPSTREAM];
  const bad = ["--api-keys", `${CLIENT} x`, "--admin-key", ADMIN];

  test.each([
    ["--print-config", ["--print-config", ...keys], 0],
    ["--help", ["--help", ...keys], 0],
    ["a key that is none", bad, 2],
    ["a flag that is none", ["--admin-keys", ADMIN], 2],
    ["a key where none belongs", [CLIENT], 2],
    ["a node with credentials", ["--node", `http://u:${OTHER}@127.0.0.1:1`, "--print-config"], 2],
  ])("%s", async (_, argv, code) => {
    const finished = await run(["serve", ...argv], variables);
    expect(finished.code).toBe(code);
    expect(finished.out + finished.err).not.toMatch(CANARY);
  });

  test("--print-config with variables", async () => {
    const { out, code } = await run(["serve", "--print-config"], variables);
    expect(code).toBe(0);
    expect(out).toMatch(/\*\*\* +variable LMPROXY_ADMIN_KEY/);
    expect(out).not.toMatch(CANARY);
  });
});

test("names, paths and headers do not write lines of their own into the log", async () => {
  const model = JSON.stringify({ model: `m${FORGED}` });
  for (const headers of [{ "x-request-id": `a" level=error` }, { "x-request-id": "a\tb" }]) {
    await chat({ ...client, ...headers }, model);
  }
  const path = `/v1/x${encodeURIComponent(FORGED)}`;
  await sendRaw(proxy.port, postText(path, model, [`Authorization: Bearer ${CLIENT}`]));
  await administer("/nodes/add", JSON.stringify({ url: "http://127.0.0.1:2", models: [FORGED] }));
  await administer("/nodes/remove", JSON.stringify({ url: "http://127.0.0.1:2" }));
  await until("it was logged", () => proxy.log().includes("127.0.0.1:2"));
  const lines = proxy.log().trimEnd().split("\n");
  // Each line is an object of the log's own, whatever was sent.
  for (const line of lines) {
    expect(line).toStartWith('{"ts":"');
    expect(JSON.parse(line)).toMatchObject({ msg: expect.not.stringContaining("forged") });
  }
  expect(proxy.log()).not.toContain("\x1b");
});
