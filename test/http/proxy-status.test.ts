/** `Proxy-Status` (RFC 9209) on errors that the proxy made, and on nothing that an engine said. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { type RawServer, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
/** What the engine answers, by the model asked for. */
const ANSWERS: Readonly<Record<string, string>> = {
  fine: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
  wrong: "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
  ill: "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}",
  busy: "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}",
  behind:
    "HTTP/1.1 502 Bad Gateway\r\nproxy-status: edge; error=connection_refused\r\ncontent-length: 2\r\n\r\n{}",
};

let engine: RawServer;
let proxy: ProxyProcess;
let closed: ProxyProcess;

beforeAll(async () => {
  engine = startRawServer({
    models: [...Object.keys(ANSWERS), "lost"],
    script: ({ method, body }) => {
      if (method !== "POST") return [{ close: true }];
      const { model } = Object(JSON.parse(Buffer.from(body).toString()));
      const answer = ANSWERS[String(model)];
      return answer === undefined ? [{ close: true }] : [{ send: answer }];
    },
  });
  [proxy, closed] = await Promise.all([
    startProxy(["--node", engine.url, "--max-body", "1000"]),
    startProxy(["--api-keys", "sk-client"]),
  ]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await Promise.all([proxy.end("SIGKILL"), closed.end("SIGKILL")]);
  engine.stop();
});

async function statusOf(at: ProxyProcess, text: string) {
  const { answers } = await sendRaw(at.port, text);
  return [answers[0]?.status, answers[0]?.headers.get("proxy-status") ?? null] as const;
}

function chat(model: string): string {
  return postText(CHAT, JSON.stringify({ model }));
}

describe("the proxy's own errors say so:", () => {
  test.each([
    [400, "http_request_error", "invalid_request", postText(CHAT, "[]")],
    [404, "destination_not_found", "model_not_found", chat("none")],
    [404, "http_request_error", "not_found", "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n"],
    [405, "http_request_error", "method_not_allowed", `GET ${CHAT} HTTP/1.1\r\nHost: a\r\n\r\n`],
    [413, "http_request_error", "request_too_large", postText(CHAT, " ".repeat(2_000))],
    [502, "connection_terminated", "upstream_error", chat("lost")],
  ])("%d %s %s", async (status, type, kind, text) => {
    const [answered, field] = await statusOf(proxy, text);
    expect(answered).toBe(status);
    expect(field).toStartWith(`lmproxy; error=${type}; kind=${kind}; details="`);
  });

  test("401, and 503 without an engine", async () => {
    const [status, field] = await statusOf(closed, postText(CHAT, "{}"));
    expect([status, field]).toEqual([401, expect.stringContaining("error=http_request_denied")]);
    const [notReady, why] = await statusOf(closed, "GET /ready HTTP/1.1\r\nHost: a\r\n\r\n");
    expect([notReady, why]).toEqual([
      503,
      expect.stringContaining("error=destination_unavailable"),
    ]);
  });
});

test.each([
  ["fine", 200],
  ["wrong", 400],
  ["ill", 500],
  ["busy", 503],
])("an engine's answer says nothing of the proxy: %s", async (model, status) => {
  expect(await statusOf(proxy, chat(model))).toEqual([status, null]);
});

test("what a proxy before the engine said passes as it came", async () => {
  expect(await statusOf(proxy, chat("behind"))).toEqual([502, "edge; error=connection_refused"]);
});
