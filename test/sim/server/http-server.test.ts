/** What uvicorn does on the wire and Bun's own server cannot. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import type { RunningEngine } from "../../../src/sim/server/engine-options.ts";
import { until } from "../../support/until.ts";
import { engineStarter } from "./running.ts";

const start = engineStarter();

/** Sends these bytes; what comes back, and whether the engine has closed. */
function dial(engine: RunningEngine, bytes: string) {
  const got = { text: "", isClosed: false, send: (more: string) => socket.write(more) };
  const socket = connect(engine.port, "127.0.0.1", () => socket.write(bytes));
  socket.on("data", (piece) => {
    got.text += piece.toString("latin1");
  });
  socket.on("close", () => {
    got.isClosed = true;
  });
  socket.on("error", () => {});
  return got;
}

function requestOf(path: string, body: object, headers = ""): string {
  const text = JSON.stringify(body);
  const head = `host: x\r\ncontent-type: application/json\r\ncontent-length: ${text.length}`;
  return `POST ${path} HTTP/1.1\r\n${head}\r\n${headers}\r\n${text}`;
}

const CHAT = "/v1/chat/completions";
const BODY = { model: "tiny", messages: [{ role: "user", content: "hi" }] };

test("the head of a stream comes before the engine has a word to say", async () => {
  const engine = await start({ timeScale: 1_000 });
  const got = dial(engine, requestOf(CHAT, { ...BODY, stream: true }));
  await until("the head is there", () => got.text.endsWith("\r\n\r\n"));
  expect(got.text).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(got.text).toContain("transfer-encoding: chunked\r\n");
  expect(engine.state()).toMatchObject({ openRequests: 1, running: 1 });
});

test("a connection serves several requests, and ends with the one that says so", async () => {
  const engine = await start();
  const last = requestOf(CHAT, BODY, "connection: close\r\n");
  const got = dial(engine, requestOf(CHAT, BODY) + last);
  await until("it is closed", () => got.isClosed);
  expect(got.text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  expect(got.text.match(/connection: close/g)).toHaveLength(1);
  expect(engine.state()).toMatchObject({ completedRequests: 2, connections: 1 });
});

test("an end behind a whole answer can come without announcement", async () => {
  const engine = await start({ faults: [{ fault: { kind: "close" } }] });
  for (const stream of [false, true]) {
    const got = dial(engine, requestOf(CHAT, { ...BODY, stream }));
    await until("it is closed", () => got.isClosed);
    expect(got.text).toEndWith(stream ? "data: [DONE]\n\n\r\n0\r\n\r\n" : "}");
    expect(got.text.toLowerCase()).not.toContain("connection:");
  }
});

test("HTTP/1.0 gets no chunks, and bytes that are no request get 400", async () => {
  const engine = await start();
  const old = requestOf(CHAT, { ...BODY, stream: true }).replace("HTTP/1.1", "HTTP/1.0");
  const got = dial(engine, old);
  await until("it is closed", () => got.isClosed);
  expect(got.text).toEndWith("data: [DONE]\n\n");
  expect(got.text).not.toContain("chunked");
  const nonsense = dial(engine, "nonsense\r\n\r\n");
  await until("it is closed", () => nonsense.isClosed);
  expect(nonsense.text).toStartWith("HTTP/1.1 400 ");
});

test("an engine that stops finishes what runs and takes nothing new", async () => {
  const engine = await start({ timeScale: 0.1 });
  const idle = dial(engine, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
  const got = dial(engine, requestOf(CHAT, { ...BODY, stream: true }));
  await until("both are under way", () => idle.text !== "" && got.text !== "");
  await engine.stop();
  await until("both are closed", () => idle.isClosed && got.isClosed);
  expect(got.text).toEndWith("data: [DONE]\n\n\r\n0\r\n\r\n");
  const late = dial(engine, requestOf(CHAT, BODY));
  await until("it is refused", () => late.isClosed);
  expect(late.text).toBe("");
});

test("an idle connection ends after some seconds, a slow request does not", async () => {
  const engine = await start();
  const idle = dial(engine, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
  const slow = dial(engine, "POST /generate HTTP/1.1\r\ncontent-le");
  await until("the idle one is closed", () => idle.isClosed);
  expect(slow.isClosed).toBe(false);
}, 60_000);
