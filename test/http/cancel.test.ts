/** An administrator cancels requests, wherever they are: the client is told, and the engine is free. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { startCluster } from "../distserve/cluster.ts";
import { type GateEngine, startGateEngine } from "../support/gate-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const KEY = { authorization: "Bearer sk-admin" };
let engine: GateEngine;
let stream: Bun.Server<undefined>;
let streamsOpen = 0;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = startGateEngine("tiny");
  // Begins a stream of events and never ends it.
  stream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    routes: { "/v1/models": Response.json({ object: "list", data: [{ id: "streams" }] }) },
    fetch: ({ method, signal }) => {
      if (method === "GET") return new Response();
      streamsOpen += 1;
      signal.addEventListener("abort", () => {
        streamsOpen -= 1;
      });
      const said = 'data: {"choices":[{"index":0,"text":"a"}]}\n\n';
      const body = new ReadableStream({ start: (to) => to.enqueue(said) });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  const nodes = [engine.url, stream.url.origin].flatMap((url) => ["--node", url]);
  const limits = ["--max-concurrency-per-node", "1", "--admin-key", "sk-admin"];
  proxy = await startProxy([...nodes, ...limits]);
  await untilHealthy(proxy, 2, "sk-admin");
});

afterEach(async () => {
  engine.release(engine.waiting);
  await until("nothing runs", async () => {
    const idle = Object.values(await proxy.status("sk-admin")).every((one) => one.unfinished === 0);
    return idle && (await listed()).length === 0;
  });
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await engine.stop();
  await stream.stop(true);
});

function ask(id: string, body: object): Promise<Response> {
  return fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-request-id": id },
    body: JSON.stringify({ prompt: "x", ...body }),
  });
}

async function listed(): Promise<readonly unknown[]> {
  const list: unknown = await (await fetch(`${proxy.url}/debug/requests`, { headers: KEY })).json();
  return Array.isArray(list) ? list : [];
}

function cancel(id: string, headers: Record<string, string> = KEY): Promise<Response> {
  const path = `/debug/requests/${encodeURIComponent(id)}`;
  return fetch(proxy.url + path, { method: "DELETE", headers });
}

async function expectCancelled(answer: Response): Promise<void> {
  expect(answer.status).toBe(503);
  expect(answer.headers.get("proxy-status")).toContain("lmproxy");
  // Clients' libraries would send it again.
  expect(answer.headers.get("x-should-retry")).toBe("false");
  expect(await answer.json()).toMatchObject({
    error: { message: "An administrator cancelled this request.", code: "service_unavailable" },
  });
}

test("one that was sent, and all others of its id, whatever stands in that", async () => {
  const id = "team/a:1%";
  const asked = [ask(id, { model: "tiny" }), ask(id, { model: "tiny" })];
  const other = ask("other", { model: "tiny", name: "other" });
  await until("one is sent, two wait", async () => {
    return engine.waiting === 1 && (await listed()).length === 3;
  });
  expect(await (await cancel(id)).json()).toEqual({ cancelled: 2 });
  for (const answer of await Promise.all(asked)) await expectCancelled(answer);
  await until("the engine has the next", () => engine.arrived.includes("other"));
  expect(engine.waiting).toBe(1);
  engine.release(1);
  expect((await other).status).toBe(200);
});

test("one whose answer has begun: a last event, and a broken connection", async () => {
  const body = { prompt: "x", model: "streams", stream: true };
  const headers = ["x-request-id: streaming"];
  const exchange = rawPost(proxy.port, "/v1/completions", body, { headers });
  await until("it has begun", () => exchange.receivedBytes > 0);
  expect(streamsOpen).toBe(1);
  expect((await cancel("streaming")).status).toBe(200);
  const answer = await exchange.ended;
  expect(answer).toMatchObject({ status: 200, complete: false, connection: "reset" });
  const got = answer.body.toString();
  expect(got).toMatch(/"text":"a".*\n\ndata: \{"error":.*cancelled.*\}\n\n$/s);
  expect(got).not.toContain("[DONE]");
  await until("the engine is free", () => streamsOpen === 0);
});

test("one whose body still comes, which counts as it comes", async () => {
  // Chunks: nobody knows how many more there will be.
  const client = connect(proxy.port, "127.0.0.1");
  let got = "";
  client.on("data", (piece) => {
    got += piece.toString();
  });
  const chunk = `${(5_000).toString(16)}\r\n${" ".repeat(5_000)}\r\n`;
  const head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: coming\r\n";
  client.write(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
  const comes = (bytes: number) => async () => {
    const list = await listed();
    return JSON.stringify(list).includes(`"phase":"reading"`) && bytesIn(list) === bytes;
  };
  await until("some of it has come", comes(5_000));
  client.write(chunk);
  await until("more of it has come", comes(10_000));
  expect((await cancel("coming")).status).toBe(200);
  await until("its client is told", () => got.includes("An administrator cancelled"));
  expect(got).toStartWith("HTTP/1.1 503 ");
  expect(got.toLowerCase()).toContain("connection: close\r\n");
  client.destroy();
});

function bytesIn([first]: readonly unknown[]): unknown {
  return Object(first).bytes_in;
}

test("the log and the metrics tell it from what failed", async () => {
  const said = () => /^.*"id":"coming".*$/m.exec(proxy.log())?.[0] ?? "";
  await until("its line is there", () => said() !== "");
  expect(JSON.parse(said())).toMatchObject({ level: "info", outcome: "cancelled_by_admin" });
  expect(/^.*"id":"streaming".*$/m.exec(proxy.log())?.[0]).toContain('"cancelled_by_admin"');
  const page = await (await fetch(`${proxy.url}/metrics`, { headers: KEY })).text();
  const counted = page.match(/^lmproxy_requests_total.*cancelled.*$/gm) ?? [];
  expect(
    counted.map((line) => /code="(\d+)",outcome="(\w+)"\} (\d+)$/.exec(line)?.slice(1)).sort(),
  ).toEqual([
    ["200", "cancelled_by_admin", "1"],
    ["503", "cancelled_by_admin", "1"],
    ["503", "cancelled_by_admin", "2"],
  ]);
});

test("one that arrived in the same turn, ahead of the call", async () => {
  const body = JSON.stringify({ model: "tiny", prompt: "x" });
  const call = [
    "POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: hasty",
    "Content-Type: application/json",
    `Content-Length: ${body.length}\r\n\r\n${body}`,
  ].join("\r\n");
  const cancelling = `DELETE /debug/requests/hasty HTTP/1.1\r\nHost: x\r\nAuthorization: ${KEY.authorization}\r\n\r\n`;
  // Both wait in their sockets when it goes on.
  proxy.process.kill("SIGSTOP");
  const client = await arrived(call);
  const administrator = await arrived(cancelling);
  proxy.process.kill("SIGCONT");
  await until("the call is answered", () => administrator.got().includes("\r\n\r\n"));
  expect(administrator.got()).toStartWith("HTTP/1.1 200 ");
  await until("its client is told", () => client.got().includes("An administrator cancelled"));
  expect(client.got()).toStartWith("HTTP/1.1 503 ");
  const line = await until("its line is there", () => /.*"id":"hasty".*/.exec(proxy.log())?.[0]);
  // No place was taken for it on any node.
  expect(JSON.parse(line)).toMatchObject({ outcome: "cancelled_by_admin", attempts: 0 });
  for (const { socket } of [client, administrator]) socket.destroy();
});

/** Sends `bytes` over a connection of its own; resolves when they are on their way. */
async function arrived(bytes: string) {
  let got = "";
  const socket = connect(proxy.port, "127.0.0.1");
  socket.on("data", (piece) => {
    got += piece.toString();
  });
  await new Promise<void>((resume) => socket.write(bytes, () => resume()));
  return { socket, got: () => got };
}

test("nobody's, or by nobody who may", async () => {
  expect((await cancel("nobody")).status).toBe(404);
  const answering = ask("mine", { model: "tiny" });
  await until("it is sent", () => engine.waiting === 1);
  expect((await cancel("mine", {})).status).toBe(401);
  engine.release(1);
  expect((await answering).status).toBe(200);
  expect((await cancel("mine")).status).toBe(404);
});

test.each([
  ["while it is prefilled", "prefills"],
  ["while it is decoded", "decodes"],
] as const)("DistServe's, %s", async (_, step) => {
  await using cluster = await startCluster();
  const [held] = cluster[step];
  if (held === undefined) throw new Error("no engine");
  // It stands still.
  held.setPace(0);
  const init = { headers: { "content-type": "application/json", "x-request-id": "two-steps" } };
  const answering = cluster.chat({}, init);
  await until(
    "it is there",
    async () => (await cluster.proxy.status())[held.url]?.unfinished === 1,
  );
  const path = `${cluster.proxy.url}/debug/requests/two-steps`;
  expect((await fetch(path, { method: "DELETE" })).status).toBe(200);
  await expectCancelled(await answering);
  expect((await cluster.proxy.status())[held.url]?.unfinished).toBe(0);
  held.setPace(1);
  await cluster.quiet();
});
