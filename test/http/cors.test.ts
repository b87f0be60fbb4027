/** What pages of other origins may do: use inference and read its errors; not administer. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { httpAnswer, type RawServer, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

const ORIGIN = "https://page.test";
const KEY = { authorization: "Bearer sk-client" };
const CHAT = "/v1/chat/completions";

let engine: RawServer;
let proxy: ProxyProcess;

beforeAll(async () => {
  const lies = [
    "access-control-allow-origin: https://other.test",
    "access-control-allow-credentials: true",
    "access-control-expose-headers: x-secret",
  ];
  engine = startRawServer({ script: () => [{ send: httpAnswer('{"ok":1}', lies) }] });
  const flags = ["--api-keys", "sk-client", "--max-body", "1000", "--node", engine.url];
  proxy = await startProxy(flags);
  await untilHealthy(proxy, 1, "sk-client");
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
});

function ask(path: string, init: BunFetchRequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (!headers.has("origin")) headers.set("origin", ORIGIN);
  return fetch(proxy.url + path, { redirect: "manual", ...init, headers });
}

function post(body: string, headers: Record<string, string> = KEY): BunFetchRequestInit {
  return { method: "POST", body, headers };
}

function corsHeaders(headers: Headers): string[] {
  return [...headers.keys()].filter((name) => name.startsWith("access-control-"));
}

describe("a page of another origin", () => {
  test.each([CHAT, "/v1/messages", "/v1/models", "/v1/responses/resp_1", "/health", "/nope"])(
    "may ask %s, with the headers it names",
    async (path) => {
      const headers = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, x-stainless-lang",
      };
      const answer = await ask(path, { method: "OPTIONS", headers });
      expect(answer.status).toBe(204);
      expect(answer.headers.get("access-control-allow-origin")).toBe("*");
      expect(answer.headers.get("access-control-allow-methods")).toBe("GET, POST, DELETE");
      expect(answer.headers.get("access-control-allow-headers")).toBe(
        headers["access-control-request-headers"],
      );
      expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
    },
  );

  const answers: readonly (readonly [number, string, BunFetchRequestInit])[] = [
    [200, CHAT, post('{"model":"tiny"}')],
    [200, "/v1/models", { headers: KEY }],
    [302, "/", {}],
    [400, CHAT, post("[]")],
    [401, CHAT, post('{"model":"tiny"}', {})],
    [401, "/v1/models", {}],
    [401, "/v1/messages", post("{}", { "x-api-key": "sk-wrong" })],
    [404, CHAT, post('{"model":"other"}')],
    [404, "/nope", {}],
    [405, CHAT, {}],
    [413, CHAT, post(`{"model":"${"x".repeat(2_000)}"}`)],
    [415, CHAT, post("{}", { ...KEY, "content-encoding": "gzip" })],
  ];

  test.each(answers)("may read %d from %s, with the request's id", async (status, path, init) => {
    const headers = new Headers(init.headers);
    headers.set("x-request-id", "mine-1");
    const answer = await ask(path, { ...init, headers });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-expose-headers")).toBe(
      "X-Request-Id, Request-Id, Retry-After, Proxy-Status",
    );
    expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
    if (status >= 400 || path === CHAT) expect(answer.headers.get("x-request-id")).toBe("mine-1");
  });

  test("gets an id with an error also when it sent none", async () => {
    const answer = await ask(CHAT, post("[]"));
    expect(answer.headers.get("x-request-id")).toMatch(/^req-[\da-f]{24}$/);
  });

  const administration: readonly (readonly [string, string])[] = [
    ["GET", "/nodes/status"],
    ["POST", "/nodes/add"],
    ["POST", "/distserve/gc"],
  ];

  test.each(administration)("learns nothing from %s %s", async (method, path) => {
    const asking = { "access-control-request-method": method };
    const preflight = await ask(path, { method: "OPTIONS", headers: asking });
    expect(corsHeaders(preflight.headers)).toEqual([]);
    const own = await ask(path, { method, headers: { ...KEY, origin: proxy.url } });
    const other = await ask(path, { method, headers: KEY });
    expect(other.status).toBe(403);
    expect([...corsHeaders(own.headers), ...corsHeaders(other.headers)]).toEqual([]);
  });
});

test("without an origin nothing is said of origins", async () => {
  const answer = await fetch(proxy.url + CHAT, post('{"model":"tiny"}'));
  expect(answer.status).toBe(200);
  expect(corsHeaders(answer.headers)).toEqual([]);
});

test("where some origins may call, others learn nothing, and caches are told what the answer hangs on", async () => {
  const flags = ["--node", engine.url, "--allowed-origins", ORIGIN, "app://second"];
  await using narrow = await startProxy(flags);
  await untilHealthy(narrow, 1);
  const asking = { "access-control-request-method": "POST" };
  for (const [origin, allowed] of [
    [ORIGIN, ORIGIN],
    ["app://second", "app://second"],
    ["https://page.test.evil.test", null],
    ["http://page.test", null],
    ["null", null],
  ] as const) {
    const headers = { origin };
    const preflight = await fetch(narrow.url + CHAT, {
      method: "OPTIONS",
      headers: { ...headers, ...asking },
    });
    const answer = await fetch(narrow.url + CHAT, { ...post('{"model":"tiny"}'), headers });
    const missing = await fetch(`${narrow.url}/nope`, { headers });
    for (const { headers } of [preflight, answer, missing]) {
      expect(headers.get("access-control-allow-origin")).toBe(allowed);
      expect(headers.get("vary")).toContain("Origin");
    }
    expect([preflight.status, answer.status, missing.status]).toEqual([204, 200, 404]);
    const paths = ["/v1/models", "/openapi.json", "/nope"];
    for (const path of paths) {
      const { headers } = await fetch(narrow.url + path);
      expect(headers.get("vary")).toContain("Origin");
      expect(corsHeaders(headers)).toEqual([]);
    }
    const administration = await fetch(`${narrow.url}/nodes/status`, { headers });
    expect(administration.status).toBe(403);
    expect(corsHeaders(administration.headers)).toEqual([]);
  }
});
