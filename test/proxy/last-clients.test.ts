/** A real listener, and time that passes when the test says so. */
import { afterEach, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { VirtualTime } from "../../src/lab/virtual-time.ts";
import { answerLastClients } from "../../src/proxy/last-clients.ts";
import { someSilentAt } from "../../src/proxy/listening-socket.ts";
import { until } from "../support/until.ts";

const STEP_MS = 10;
let server: Bun.Server<undefined> | null = null;
let client: Socket | null = null;
afterEach(async () => {
  client?.destroy();
  await server?.stop(true);
});

/** An end that has begun, and whose clients' answers have yet to leave as often as `pending` says. */
function begin(port: number, pending: () => number) {
  const time = new VirtualTime();
  const end = { isOver: false };
  void answerLastClients(port, pending, time).then(() => {
    end.isOver = true;
  });
  return {
    end,
    async pass(ms: number) {
      for (let passed = 0; passed < ms && !end.isOver; passed += STEP_MS) {
        time.advance(STEP_MS);
        await new Promise(setImmediate);
      }
    },
  };
}

function listen(): number {
  server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("ok") });
  return server.port ?? 0;
}

test("an end waits for those whose answer has yet to leave, and a moment longer", async () => {
  let pending = 1;
  const { end, pass } = begin(listen(), () => pending);
  await pass(2_000);
  expect(end.isOver).toBe(false);
  pending = 0;
  await pass(50);
  expect(end.isOver).toBe(false);
  await pass(100);
  expect(end.isOver).toBe(true);
});

test("it waits for who is connected and has said nothing", async () => {
  const port = listen();
  client = connect(port, "127.0.0.1");
  await until("the client is accepted", () => someSilentAt(port));
  const { end, pass } = begin(port, () => 0);
  await pass(2_000);
  expect(end.isOver).toBe(false);
  client.destroy();
  await until("the client is seen to have left", () => !someSilentAt(port));
  await pass(200);
  expect(end.isOver).toBe(true);
});

test("it waits for who has connected and whom the kernel keeps back, since nothing has come of it yet", async () => {
  const port = listen();
  const late = connect(port, "127.0.0.1");
  client = late;
  await new Promise<void>((resume) => late.once("connect", resume));
  const { end, pass } = begin(port, () => server?.pendingRequests ?? 0);
  await pass(1_000);
  expect(end.isOver).toBe(false);
  let said = "";
  late.on("data", (piece) => {
    said += piece;
  });
  late.end("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
  await until("it is answered", () => said.endsWith("ok"));
  await pass(500);
  expect(end.isOver).toBe(true);
});

test("it waits for nobody for longer than three seconds", async () => {
  const { end, pass } = begin(listen(), () => 1);
  await pass(2_900);
  expect(end.isOver).toBe(false);
  await pass(200);
  expect(end.isOver).toBe(true);
});

test("where nobody listens there is nobody to wait for", async () => {
  const port = listen();
  await server?.stop(true);
  const { end, pass } = begin(port, () => 1);
  await pass(STEP_MS);
  expect(end.isOver).toBe(true);
});
