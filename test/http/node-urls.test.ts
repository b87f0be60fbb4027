/** Server-side request forgery: what the proxy may be made to connect to, and what that would tell. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hostname, networkInterfaces } from "node:os";
import { run } from "../commands/program.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { httpAnswer, type RawServer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";

const CANARY = "canary-7c0de";

let proxy: ProxyProcess;
const engines: RawServer[] = [];

beforeAll(async () => {
  proxy = await startProxy(["--health-interval", "0.05", "--log-level", "trace"]);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  for (const engine of engines) engine.stop();
});

async function add(url: string): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${proxy.url}/nodes/add`, {
    method: "POST",
    body: JSON.stringify({ url, models: ["m"] }),
  });
  return { status: answer.status, text: await answer.text() };
}

async function expectRefused(url: string, why: RegExp): Promise<string> {
  const { status, text } = await add(url);
  expect([url, status]).toEqual([url, 400]);
  const { error } = Object(JSON.parse(text));
  expect(error).toMatchObject({ code: "invalid_request", param: "url" });
  expect(error.message).toMatch(why);
  expect(await proxy.status()).toEqual({});
  return text;
}

describe("is refused when it is added:", () => {
  test.each([
    "http://169.254.169.254",
    "http://169.254.169.254/latest/meta-data",
    "http://169.254.169.254.:80",
    "http://2852039166",
    "http://0xa9fea9fe",
    "http://0xa9.0xfe.0xa9.0xfe",
    "http://0251.0376.0251.0376",
    "http://169.254.43518",
    "http://%31%36%39.254.169.254",
    "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④",
    "http://169。254。169。254",
    "http://[::ffff:169.254.169.254]",
    "http://[::ffff:a9fe:a9fe]",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::]",
    "http://[fe80::1]",
    "http://[fd00:ec2::254]",
    "https://100.100.100.200",
    "http://metadata.google.internal",
    "http://METADATA.GOOGLE.INTERNAL./computeMetadata",
    "http://224.0.0.1",
    "http://255.255.255.255",
  ])("%s", async (url) => {
    await expectRefused(url, /never an engine/);
  });

  test.each([
    "127.0.0.1",
    "127.1",
    "0x7f000001",
    "2130706433",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "localhost",
    "LOCALHOST.",
    "x.localhost",
    "0.0.0.0",
    "[::]",
  ])("the proxy itself as %s", async (host) => {
    await expectRefused(`http://${host}:${proxy.port}`, /this proxy itself/);
    await expectRefused(`https://${host}:${proxy.port}/base`, /this proxy itself/);
  });

  test("the proxy itself by every address of this machine", async () => {
    const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
    for (const { address, family } of addresses.filter(({ scopeid }) => !scopeid)) {
      const host = family === "IPv6" ? `[${address}]` : address;
      await expectRefused(`http://${host}:${proxy.port}`, /this proxy itself/);
    }
  });

  test.each([
    `http://user:${CANARY}@10.0.0.1:23333`,
    `http://${CANARY}@10.0.0.1`,
    `http://:${CANARY}@10.0.0.1`,
    `http://10.0.0.1:80@${CANARY}.test/`,
  ])("credentials, without repeating them: %s", async (url) => {
    expect(await expectRefused(url, /credentials/)).not.toContain(CANARY);
  });

  test.each([
    ...[
      "file:///etc/passwd",
      "ftp://10.0.0.1",
      "gopher://10.0.0.1:6379/_x",
      "ws://10.0.0.1",
      "unix:/run/x",
    ],
    ...[
      "data:,x",
      "javascript:alert(1)",
      "//10.0.0.1",
      "10.0.0.1:80",
      "http:10.0.0.1",
      "http:///x",
      "http://",
      "",
    ],
    ...[
      "http://10.0.0.1\r\nx: y",
      "http://10.0.0.1 x",
      "http://10.0.0.1\\@evil.test",
      "http://10.0.0.1:0",
    ],
    ...[
      "http://10.0.0.1:99999",
      "http://10.0.0.1?x",
      "http://10.0.0.1#x",
      `http://${"x".repeat(3_000)}`,
    ],
  ])("what is no base URL: %j", async (url) => {
    await expectRefused(url, /./);
  });
});

describe("a static node that is refused ends the start with one line:", () => {
  test.each([
    ["http://169.254.169.254", /^lmproxy: 169\.254\.169\.254 is a link-local address/],
    [
      "http://metadata.google.internal",
      /^lmproxy: metadata\.google\.internal is a cloud's metadata/,
    ],
    [`http://u:${CANARY}@10.0.0.1`, /^lmproxy: .*user name and password|credentials/],
    ["ftp://10.0.0.1", /^lmproxy: .*http:\/\/ or https:\/\//],
  ])("%s", async (url, line) => {
    const { out, err, code } = await run(["--host", "127.0.0.1", "--port", "0", "--node", url]);
    expect({ out, code }).toEqual({ out: "", code: 2 });
    expect(err).toMatch(line);
    expect(err).toMatch(/^[^\n]+\n$/);
    expect(err).not.toContain(CANARY);
  });
});

test("only what --allow-nodes names may be added", async () => {
  const allowed = ["--allow-nodes", "10.1.0.0/16", "*.engines.test"];
  await using limited = await startProxy(allowed);
  const statusOf = async (url: string) => {
    const body = JSON.stringify({ url });
    return (await fetch(`${limited.url}/nodes/add`, { method: "POST", body })).status;
  };
  expect(await statusOf("http://10.1.2.3:23333")).toBe(200);
  expect(await statusOf("http://a.engines.test")).toBe(200);
  expect(await statusOf("http://10.2.0.1:23333")).toBe(400);
  expect(await statusOf("http://127.0.0.1:23333")).toBe(400);
  expect(await statusOf("http://[::ffff:10.2.0.1]")).toBe(400);
});

const ownName = hostname();
const ownAddresses = new Set(
  Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []),
);
const named = await Bun.dns.lookup(ownName).catch(() => []);
const isOurs = named.some(({ address }) => ownAddresses.has(address) || address.startsWith("127."));

test.skipIf(!isOurs)(
  "a name that leads to the proxy itself turns unhealthy and says why",
  async () => {
    const url = `http://${ownName}:${proxy.port}`;
    expect((await add(url)).status).toBe(200);
    const [node] = await until("it is unhealthy", async () => {
      const nodes = Object.values(await proxy.status());
      return nodes.every(({ state }) => state === "unhealthy") && nodes;
    });
    expect(node?.last_error).toMatch(/is this proxy itself/);
    await remove(new URL(url).origin);
  },
);

async function remove(url: string): Promise<void> {
  await fetch(`${proxy.url}/nodes/remove`, { method: "POST", body: JSON.stringify({ url }) });
}

function engineWith(probe: readonly RawStep[]): RawServer {
  const probes = { "/health": probe, "/v1/models": probe, "/metrics": probe };
  const engine = startRawServer({ script: () => probe, probes });
  engines.push(engine);
  return engine;
}

describe("what a probe receives", () => {
  test("is not followed when it is a redirect, by no question and by no request", async () => {
    const secret = startRawServer({
      script: () => [{ send: httpAnswer("{}") }],
      probes: { "/health": [] },
    });
    engines.push(secret);
    const location = `location: ${secret.url}/${CANARY}`;
    const redirect = [{ send: httpAnswer("", [location], "302 Found") }];
    const engine = startRawServer({
      script: () => redirect,
      probes: { "/v1/models": redirect, "/metrics": redirect, "/terminate": redirect },
    });
    engines.push(engine);
    await add(engine.url);
    await until(
      "it is healthy",
      async () => (await proxy.status())[engine.url]?.state === "healthy",
    );
    const answer = await fetch(`${proxy.url}/v1/completions`, {
      method: "POST",
      body: '{"model":"m"}',
      redirect: "manual",
    });
    expect([answer.status, answer.headers.get("location")]).toEqual([
      302,
      `${secret.url}/${CANARY}`,
    ]);
    const ended = await fetch(`${proxy.url}/nodes/terminate`, {
      method: "POST",
      body: JSON.stringify({ url: engine.url }),
    });
    expect(ended.status).toBe(502);
    const moved = engineWith(redirect);
    await add(moved.url);
    const error = await until(
      "it has an error",
      async () => (await proxy.status())[moved.url]?.last_error,
    );
    expect(error).toBe("GET /health answered 302");
    await remove(moved.url);
    expect(secret.connections().accepted).toBe(0);
  });

  const body = JSON.stringify({ status: CANARY, message: CANARY });
  test.each([
    ["an error", httpAnswer(body, [`x-canary: ${CANARY}`], `500 ${CANARY}`)],
    ["no HTTP", `${CANARY}\r\n\r\n${CANARY}`],
    ["a status line alone", `HTTP/1.1 ${CANARY}\r\n\r\n`],
    ["a strange protocol", `SSH-2.0-${CANARY}\r\n`],
    ["a bad header", `HTTP/1.1 200 OK\r\n${CANARY} ${CANARY}\r\n\r\n`],
    ["a bad chunk", `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${CANARY}\r\n`],
    ["a bad length", `HTTP/1.1 200 OK\r\ncontent-length: ${CANARY}\r\n\r\n`],
    [
      "a strange encoding",
      `HTTP/1.1 503 No\r\ncontent-encoding: ${CANARY}\r\ncontent-length: 0\r\n\r\n`,
    ],
    ["a redirect", httpAnswer("", [`location: ${CANARY}://${CANARY}`], "307 Moved")],
  ])("is not repeated: %s", async (_, answer) => {
    const engine = engineWith([{ send: answer }, { close: true }]);
    const { text } = await add(engine.url);
    await until("it has an error", async () => (await proxy.status())[engine.url]?.last_error);
    const status = await fetch(`${proxy.url}/nodes/status`);
    expect(text + (await status.text()) + proxy.log()).not.toContain(CANARY);
    await remove(engine.url);
  });
});
