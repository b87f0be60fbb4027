/**
 * PHP's Guzzle, for bodies from 1 MB on, and Java's HttpClient ask by `Expect: 100-Continue` to be told to go on, and
 * wait: the one for a second, the other for good.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createGoOn } from "../../src/proxy/go-on.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { httpAnswer, type RawServer, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

const BODY = '{"model":"tiny"}';
const GO_ON = "HTTP/1.1 100 Continue\r\n\r\n";

let engine: RawServer;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = startRawServer({
    script: () => [{ send: httpAnswer('{"ok":1}') }],
    probes: { "/metrics": [{ send: httpAnswer("") }] },
  });
  // Who is told nothing gets 408 after that.
  proxy = await startProxy(["--node", engine.url, "--body-timeout", "3"]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
});

/** Sends a body once it is told to go on, over a connection that it closes after `times` answers; all that came. */
async function sendWhenTold(times: number, lines = `Content-Length: ${BODY.length}`, body = BODY) {
  const head =
    "POST /v1/completions HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\n" +
    `Expect: 100-Continue\r\n${lines}\r\n\r\n`;
  const { promise, resolve } = Promise.withResolvers<void>();
  let heard = "";
  let told = 0;
  let answered = 0;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
    socket: {
      open: (opened) => void opened.write(head),
      data(opened, piece) {
        heard += piece.toString("latin1");
        for (; heard.split(GO_ON).length > told + 1; told += 1) opened.write(body);
        const answers = heard.split(/HTTP\/1\.1 [2-5]/).length - 1;
        if (answers === answered || !/[}\]]$/.test(heard)) return;
        answered = answers;
        if (answered === times) resolve();
        else opened.write(head);
      },
      close: () => resolve(),
    },
  });
  await promise;
  socket.terminate();
  return { told, statuses: [...heard.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status) };
}

const ONCE = ["100", "200"];

test("who waits to be told to go on is told, in capital letters, too", async () => {
  expect(await sendWhenTold(3)).toEqual({ told: 3, statuses: [...ONCE, ...ONCE, ...ONCE] });
});

test("so is one who says no length", async () => {
  const chunks = `10\r\n${BODY}\r\n0\r\n\r\n`;
  const heard = await sendWhenTold(1, "Transfer-Encoding: chunked", chunks);
  expect(heard.statuses).toEqual(ONCE);
});

test("nothing is said to another proxy, which says it itself: Java's client waits for good behind a second one", async () => {
  const lines = ["Expect: 100-Continue", "X-Forwarded-For: 10.0.0.1"];
  const { answers, informational } = await sendRaw(
    proxy.port,
    postText("/v1/completions", BODY, lines),
  );
  expect(informational).toEqual([]);
  expect(answers.map(({ status }) => status)).toEqual([200]);
});

test("each of many is told, and nobody else", async () => {
  const others: string[] = [];
  const idle = await Bun.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
    socket: { data: (_socket, piece) => void others.push(piece.toString()) },
  });
  const heard = await Promise.all(Array.from({ length: 50 }, () => sendWhenTold(2)));
  for (const one of heard) expect(one).toEqual({ told: 2, statuses: [...ONCE, ...ONCE] });
  expect(others).toEqual([]);
  idle.terminate();
});

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["::", "127.0.0.1"],
  ["::", "::1"],
])("it is told at %s to who comes from %s", async (hostname, from) => {
  const goOn = createGoOn();
  using server = Bun.serve({
    hostname,
    port: 0,
    async fetch(request) {
      goOn(server.port ?? 0, server.requestIP(request));
      return new Response(await request.text());
    },
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  let heard = "";
  const socket = await Bun.connect({
    hostname: from,
    port: server.port ?? 0,
    socket: {
      open: (opened) =>
        void opened.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"),
      data(opened, piece) {
        heard += piece.toString("latin1");
        if (heard === GO_ON) opened.write("ok");
        if (heard.endsWith("ok")) resolve(heard);
      },
      close: () => resolve(heard),
    },
  });
  expect((await promise).startsWith(GO_ON)).toBe(true);
  expect(heard.endsWith("\r\n\r\nok")).toBe(true);
  socket.terminate();
});
