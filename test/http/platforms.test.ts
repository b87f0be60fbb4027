/** What stands around the proxy: balancers that check it, proxies before and behind it, orchestrators. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Agent, get } from "node:http";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { httpAnswer, type RawServer, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
let engine: RawServer;
let proxy: ProxyProcess;
let trusting: ProxyProcess;
let answer = httpAnswer("{}");
/** Takes some seconds, beside the other tests. */
let kept: ReturnType<typeof keepAlive>;

beforeAll(async () => {
  kept = keepAlive();
  kept.catch(() => {});
  engine = startRawServer({
    script: ({ method }) => [{ send: method === "POST" ? answer : httpAnswer("") }],
  });
  const node = ["--node", engine.url];
  [proxy, trusting] = await Promise.all([
    startProxy(node),
    startProxy([...node, "--trusted-proxies", "127.0.0.0/8"]),
  ]);
  await Promise.all([untilHealthy(proxy), untilHealthy(trusting)]);
});

afterAll(async () => {
  await Promise.all([proxy.end("SIGKILL"), trusting.end("SIGKILL")]);
  engine.stop();
});

describe("HTTP/1.0 without Host", () => {
  const paths = ["health", "healthz", "livez", "liveness", "ready", "readyz", "readiness"];

  test.each(paths)("may ask GET, HEAD and OPTIONS /%s", async (path) => {
    for (const [method, status] of [
      ["GET", 200],
      ["HEAD", 200],
      ["OPTIONS", 204],
    ] as const) {
      const { answers } = await sendRaw(proxy.port, `${method} /${path} HTTP/1.0\r\n\r\n`);
      expect([method, answers[0]?.status]).toEqual([method, status]);
    }
  });

  test("may ask OPTIONS /, the default of HAProxy's check", async () => {
    const { answers } = await sendRaw(proxy.port, "OPTIONS / HTTP/1.0\r\n\r\n");
    expect(answers[0]?.status).toBe(204);
  });

  test.each(["/v1/models", "/nodes/status", "/docs", "/nope", "/health/../nodes/status"])(
    "may not ask %s",
    async (path) => {
      const { answers } = await sendRaw(proxy.port, `GET ${path} HTTP/1.0\r\n\r\n`);
      expect(answers[0]?.status).toBe(400);
    },
  );
});

async function headersAtEngine(at: ProxyProcess, sent: readonly string[]): Promise<Headers> {
  const { answers } = await sendRaw(at.port, postText(CHAT, '{"model":"tiny"}', sent));
  expect(answers[0]?.status).toBe(200);
  const head = engine.requests.findLast(({ method }) => method === "POST")?.head ?? "";
  const lines = head.split("\r\n").slice(1);
  return new Headers(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
}

describe("X-Forwarded-*", () => {
  const SENT = [
    "X-Forwarded-For: 192.0.2.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: llm.example",
    "X-Forwarded-Port: 443",
  ];

  test("of a trusted proxy are continued", async () => {
    const headers = await headersAtEngine(trusting, SENT);
    expect(headers.get("x-forwarded-for")).toBe("192.0.2.7, 127.0.0.1");
    expect(headers.get("x-forwarded-proto")).toBe("https");
    expect(headers.get("x-forwarded-host")).toBe("llm.example");
    expect(headers.get("x-forwarded-port")).toBe("443");
  });

  test("of anybody else are made anew", async () => {
    const headers = await headersAtEngine(proxy, SENT);
    expect(headers.get("x-forwarded-for")).toBe("127.0.0.1");
    expect(headers.get("x-forwarded-proto")).toBe("http");
    expect(headers.get("x-forwarded-host")).toBe("proxy");
    expect(headers.has("x-forwarded-port")).toBe(false);
  });

  test("name the client that limits count", async () => {
    await using limited = await startProxy([
      ...["--node", engine.url, "--trusted-proxies", "127.0.0.1"],
      ...["--max-concurrency-per-client", "1", "--queue-size", "0"],
    ]);
    await untilHealthy(limited);
    const open = new AbortController();
    const ask = (client: string, signal: AbortSignal | null = null) =>
      fetch(limited.url + CHAT, {
        method: "POST",
        body: '{"model":"tiny"}',
        headers: { "x-forwarded-for": client },
        signal,
      });
    const before = engine.requests.length;
    // Never answered.
    answer = "";
    const held = ask("192.0.2.1", open.signal).catch(() => null);
    await until("it is at the engine", () =>
      engine.requests.slice(before).some(({ method }) => method === "POST"),
    );
    answer = httpAnswer("{}");
    expect((await ask("192.0.2.1")).status).toBe(429);
    expect((await ask("192.0.2.2")).status).toBe(200);
    open.abort();
    await held;
  });
});

test("a loop of proxies ends with 508", async () => {
  await using first = await startProxy();
  await using second = await startProxy(["--node", first.url]);
  const added = await fetch(`${first.url}/nodes/add`, {
    method: "POST",
    body: JSON.stringify({ url: second.url, status: { models: ["m"] } }),
  });
  expect(added.status).toBe(200);
  await fetch(`${second.url}/nodes/add`, {
    method: "POST",
    body: JSON.stringify({ url: first.url, status: { models: ["m"] } }),
  });
  await Promise.all([untilHealthy(first), untilHealthy(second)]);
  const looped = await fetch(first.url + CHAT, { method: "POST", body: '{"model":"m"}' });
  expect(looped.status).toBe(508);
  expect(looped.headers.get("proxy-status")).toContain("error=proxy_loop_detected");
  expect(Object(await looped.json()).error.code).toBe("loop_detected");
});

test("Via names each proxy on the way", async () => {
  expect((await headersAtEngine(proxy, [])).get("via")).toMatch(/^1\.1 lmproxy-\w+$/);
  expect((await headersAtEngine(proxy, ["Via: 1.1 edge"])).get("via")).toMatch(
    /^1\.1 edge, 1\.1 lmproxy-\w+$/,
  );
});

test("nginx in front is told not to gather a stream of events, in whatever case it is written", async () => {
  const header = async (type: string, more = "") => {
    answer = `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\n${more}content-length: 2\r\n\r\n{}`;
    const { answers } = await sendRaw(proxy.port, postText(CHAT, '{"model":"tiny"}'));
    answer = httpAnswer("{}");
    return answers[0]?.headers.get("x-accel-buffering") ?? null;
  };
  expect(await header("text/event-stream; charset=utf-8")).toBe("no");
  expect(await header("Text/Event-Stream")).toBe("no");
  expect(await header("text/event-stream", "x-accel-buffering: yes\r\n")).toBe("yes");
  expect(await header("application/json")).toBe(null);
});

test("with --shutdown-delay it goes on serving after SIGTERM, and says that it is not ready", async () => {
  await using leaving = await startProxy(["--node", engine.url, "--shutdown-delay", "60"]);
  await untilHealthy(leaving);
  leaving.process.kill("SIGTERM");
  await until("it says so", async () => (await fetch(`${leaving.url}/ready`)).status === 503);
  const asked = { method: "POST", body: '{"model":"tiny"}' };
  expect((await fetch(leaving.url + CHAT, asked)).status).toBe(200);
  expect((await fetch(`${leaving.url}/health`)).status).toBe(200);
});

describe("headers", () => {
  const headers = (bytes: number) =>
    Array.from({ length: 8 }, (_, i) => `x-${i}: ${"y".repeat(bytes / 8)}`);
  const status = async (at: ProxyProcess, bytes: number) => {
    const text = postText(CHAT, '{"model":"tiny"}', headers(bytes));
    const [first] = (await sendRaw(at.port, text)).answers;
    return [first?.status, first?.body ?? ""] as const;
  };

  test("of 40 KB pass", async () => {
    expect((await status(proxy, 40_000))[0]).toBe(200);
  });

  test("above the limit are refused in the envelope", async () => {
    const [code, body] = await status(proxy, 80_000);
    expect([code, Object(JSON.parse(body)).error.code]).toEqual([431, "headers_too_large"]);
    await using strict = await startProxy(["--node", engine.url, "--max-header-size", "2KiB"]);
    await untilHealthy(strict);
    expect((await status(strict, 1_000))[0]).toBe(200);
    expect((await status(strict, 4_000))[0]).toBe(431);
  });
});

test("--keep-alive is how long a client's connection may stand idle at least", async () => {
  const { answers, closed, connections } = await kept;
  expect([answers.map(({ status }) => status), closed]).toEqual([[200], true]);
  // Bun closes all at one moment that have been idle for long, or for less than it counts.
  expect(connections).toBe(1);
});

/** What becomes of a connection that is idle after one answer, and over how many another asks meanwhile. */
async function keepAlive() {
  await using brief = await startProxy(["--keep-alive", "1"]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set<number>();
  let isOver = false;
  const busy = (async () => {
    while (!isOver) {
      ports.add(await portOfGet(brief.port, agent));
      await Bun.sleep(50);
    }
  })();
  const asked = "GET /health HTTP/1.1\r\nHost: proxy\r\n\r\n";
  const heard = await sendRaw(brief.port, asked, { untilClosed: true });
  isOver = true;
  await busy;
  agent.destroy();
  return { ...heard, connections: ports.size };
}

/** Our own end of the connection over which `/health` was asked. */
function portOfGet(port: number, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = get({ host: "127.0.0.1", port, path: "/health", agent }, (answer) => {
      const own = answer.socket.localPort ?? 0;
      answer.on("end", () => resolve(own)).resume();
    });
    sent.on("error", reject);
  });
}
