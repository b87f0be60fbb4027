import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  answerHeaders,
  type Forwarded,
  requestHeaders,
  retryAfterMs,
} from "../../src/core/headers.ts";
import { runs } from "./fuzz.ts";

const FORWARDED: Forwarded = {
  peerAddress: "192.0.2.7",
  continues: false,
  maxBytes: 65_536,
  via: "1.1 lmproxy-1",
  proto: "https",
  host: "llm.example:8443",
  requestId: "req-1",
  upstreamApiKey: null,
  stripCredentials: false,
};

function sent(client: Record<string, string>, forwarded: Partial<Forwarded> = {}): Headers {
  return requestHeaders(new Headers(client), { ...FORWARDED, ...forwarded });
}

function ofAnswer(engine: Record<string, string>, status = 200): Headers {
  return answerHeaders({ status, headers: new Headers(engine) }, "req-1", "http://10.0.0.7:8000");
}

const HOP_BY_HOP = {
  Connection: "keep-alive",
  "Keep-Alive": "timeout=5",
  "Proxy-Authenticate": "Basic",
  "Proxy-Authorization": "Basic eA==",
  "Proxy-Connection": "keep-alive",
  TE: "trailers",
  Trailer: "X-Sum",
  "Transfer-Encoding": "chunked",
  Upgrade: "websocket",
};

describe("headers of one connection alone", () => {
  test.each(Object.entries(HOP_BY_HOP))(
    "%s passes neither to the engine nor to the client",
    (name, value) => {
      expect(sent({ [name]: value }).has(name)).toBe(false);
      expect(ofAnswer({ [name]: value }).has(name)).toBe(false);
    },
  );

  test.each([
    ["close, X-Hop", ["x-hop"]],
    ["X-Hop,X-Other", ["x-hop", "x-other"]],
    ["  x-hop ,, ,X-OTHER  ,", ["x-hop", "x-other"]],
    ["bad name, x-hop, {}", ["x-hop"]],
    ["close", []],
    ["", []],
  ])("those that Connection names do not either: %p", (connection, named) => {
    const headers = { Connection: connection, "X-Hop": "1", "X-Other": "2", "X-Stays": "3" };
    const left = ["x-hop", "x-other", "x-stays"].filter((name) => !named.includes(name));
    const names = (passed: Headers) =>
      [...passed.keys()].filter((name) => left.includes(name) || named.includes(name));
    expect(names(sent(headers))).toEqual(left);
    expect(names(ofAnswer(headers))).toEqual(left);
  });

  test("Connection cannot take away what the proxy itself says", () => {
    const named =
      "x-forwarded-for, x-forwarded-proto, x-request-id, accept-encoding, authorization";
    const headers = sent(
      { Connection: named, Authorization: "Bearer mine" },
      { upstreamApiKey: "ours" },
    );
    expect(Object.fromEntries(headers)).toEqual({
      "accept-encoding": "identity",
      authorization: "Bearer ours",
      via: "1.1 lmproxy-1",
      "x-forwarded-for": "192.0.2.7",
      "x-forwarded-host": "llm.example:8443",
      "x-forwarded-proto": "https",
      "x-request-id": "req-1",
    });
    const answer = ofAnswer({ connection: "x-request-id" });
    expect(answer.get("x-request-id")).toBe("req-1");
  });
});

describe("what an engine is told of the client", () => {
  test("is what the proxy knows, whatever the client says", () => {
    const headers = sent({
      Host: "evil.example",
      Forwarded: "for=10.0.0.1",
      Expect: "100-continue",
      "Content-Length": "5",
      "X-Real-IP": "10.0.0.1",
      "X-Forwarded-For": "10.0.0.1, 10.0.0.2",
      "X-Forwarded-Host": "evil.example",
      "X-Forwarded-Port": "1",
      "X-Forwarded-Proto": "http",
      "X-Forwarded-Prefix": "/evil",
      "x-forwarded-client-cert": "evil",
      "X-Request-Id": "theirs",
    });
    expect(Object.fromEntries(headers)).toEqual({
      via: "1.1 lmproxy-1",
      "accept-encoding": "identity",
      "x-forwarded-for": "192.0.2.7",
      "x-forwarded-host": "llm.example:8443",
      "x-forwarded-proto": "https",
      "x-request-id": "req-1",
    });
  });

  test("is nothing where the proxy knows nothing", () => {
    const unknown = { peerAddress: null, host: null, proto: "http" } as const;
    const headers = sent({ "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "evil" }, unknown);
    expect(headers.has("x-forwarded-for")).toBe(false);
    expect(headers.has("x-forwarded-host")).toBe(false);
    expect(headers.get("x-forwarded-proto")).toBe("http");
  });

  test("includes everything else, as it came", () => {
    const client = {
      "content-type": "application/json; charset=utf-8",
      "user-agent": "OpenAI/JS",
      "x-stainless-retry-count": "0",
      "x-correlation-id": "c-1",
      "accept-encoding": "gzip, br",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    };
    expect(Object.fromEntries(sent(client))).toMatchObject(client);
  });

  test("is the client's own headers, changed in place", () => {
    const client = new Headers({ connection: "x-hop", "x-hop": "1", "x-forwarded-for": "1.2.3.4" });
    expect(requestHeaders(client, FORWARDED)).toBe(client);
    expect(client.has("x-hop")).toBe(false);
  });
});

describe("credentials", () => {
  const CLIENT = {
    Authorization: "Bearer client",
    "X-Api-Key": "client",
    "Proxy-Authorization": "x",
  };
  test.each<[string, Partial<Forwarded>, string | null, string | null]>([
    ["no keys: the client's reach the engine", {}, "Bearer client", "client"],
    ["keys of our own: the client's stay here", { stripCredentials: true }, null, null],
    ["an upstream key: it is what engines get", { upstreamApiKey: "up" }, "Bearer up", null],
    ["both", { upstreamApiKey: "up", stripCredentials: true }, "Bearer up", null],
  ])("%s", (_what, forwarded, authorization, apiKey) => {
    const headers = sent(CLIENT, forwarded);
    expect(headers.get("authorization")).toBe(authorization);
    expect(headers.get("x-api-key")).toBe(apiKey);
    expect(headers.has("proxy-authorization")).toBe(false);
  });
});

describe("an engine's answer", () => {
  test("passes with its own headers, ours beside them", () => {
    const engine = new Headers({
      "content-type": "text/event-stream",
      "content-encoding": "gzip",
      "content-length": "12",
      "retry-after": "7",
      "x-request-id": "the engine's",
      "access-control-allow-origin": "*",
      "access-control-allow-credentials": "true",
    });
    engine.append("set-cookie", "a=1");
    engine.append("set-cookie", "b=2");
    const headers = answerHeaders({ status: 200, headers: engine }, "req-1", "http://a");
    expect(headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    headers.delete("set-cookie");
    expect(Object.fromEntries(headers)).toEqual({
      "content-encoding": "gzip",
      "content-length": "12",
      "content-type": "text/event-stream",
      "retry-after": "7",
      "x-accel-buffering": "no",
      "x-request-id": "req-1",
    });
  });
});

test.each([
  [429, {}, "1"],
  [503, {}, "1"],
  [503, { "retry-after": "30" }, "30"],
  [500, {}, null],
  [200, {}, null],
])("an engine's %d with %j says when to try again: %p", (status, headers, expected) => {
  expect(ofAnswer(headers, status).get("retry-after")).toBe(expected);
});

test.each([
  ["http://10.0.0.7:8000/v1/models?x=1#y", "/v1/models?x=1#y"],
  ["HTTP://10.0.0.7:8000//evil.test/x", "/evil.test/x"],
  ["http://10.0.0.7:8000", "/"],
  ["/v1/models", "/v1/models"],
  ["http://10.0.0.7:9000/v1/models", "http://10.0.0.7:9000/v1/models"],
  ["https://elsewhere.test/x", "https://elsewhere.test/x"],
  ["https://10.0.0.7:8000/v1/models", "https://10.0.0.7:8000/v1/models"],
])("a redirect to %s leads a client to %s", (location, expected) => {
  expect(ofAnswer({ location }, 307).get("location")).toBe(expected);
});

test.each([
  ["http://a/one/v1/x", "/v1/x"],
  ["/one/v1/x?y=1", "/v1/x?y=1"],
  ["//a/one/v1/x", "/v1/x"],
  ["/two/v1/x", "/two/v1/x"],
  ["//b/one/v1/x", "//b/one/v1/x"],
  ["x", "x"],
])(
  "a redirect to %s below a node's own path leads to %s below the proxy's root",
  (location, to) => {
    const answer = { status: 307, headers: new Headers({ location }) };
    expect(answerHeaders(answer, "req-1", "http://a/one").get("location")).toBe(to);
  },
);

test("a redirect to HTTP of an engine behind HTTPS leads a client through the proxy, one to HTTPS of one without does not", () => {
  const led = (location: string, nodeUrl: string) => {
    const answer = { status: 301, headers: new Headers({ location }) };
    return answerHeaders(answer, "req-1", nodeUrl).get("location");
  };
  expect(led("http://a/v1/x", "https://a")).toBe("/v1/x");
  expect(led("https://a/v1/x", "http://a")).toBe("https://a/v1/x");
});

describe("Retry-After", () => {
  const WALL_MS = Date.UTC(2026, 10, 23, 12, 0, 0);
  test.each<[string | null, number | null]>([
    [null, null],
    ["0", 0],
    ["7", 7_000],
    [" 7 ", 7_000],
    ["1.5", 1_500],
    ["120", 120_000],
    ["99999999999", 99_999_999_999_000],
    ["Mon, 23 Nov 2026 12:00:03 GMT", 3_000],
    ["Mon, 23 Nov 2026 11:00:00 GMT", 0],
    ["Monday, 23-Nov-26 12:00:03 GMT", 3_000],
    ["Mon, 99 Nov 2026 12:00:03 GMT", null],
    ["", null],
    ["soon", null],
    ["-1", null],
    ["1e3", null],
    ["0x10", null],
    ["7s", null],
    ["2026", 2_026_000],
    ["2026-11-23T12:00:03Z", null],
    ["1, 2", null],
  ])("%p: %p ms", (value, ms) => {
    const headers = new Headers(value === null ? {} : { "retry-after": value });
    expect(retryAfterMs(headers, WALL_MS)).toBe(ms);
  });

  test("is never negative and never no number, whatever it says", () => {
    const anyValue = fc.oneof(
      fc.string({ unit: "grapheme-ascii" }),
      fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
      fc.stringMatching(/^(Mon|Tue|Sun)[ ,:0-9A-Za-z+-]{0,30}$/),
      fc.double().map(String),
    );
    fc.assert(
      fc.property(anyValue, (value) => {
        const ms = retryAfterMs(new Headers({ "retry-after": value }), WALL_MS);
        expect(ms === null || ms >= 0).toBe(true);
      }),
      runs(1_000),
    );
  });
});
