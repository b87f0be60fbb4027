/** What request bodies may take together (`--max-body-memory`), and that all of it is given back. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Socket } from "bun";
import { BodyMemory } from "../../src/http/body-memory.ts";
import { readBody } from "../../src/http/read-body.ts";
import { SlowBodies } from "../../src/http/slow-bodies.ts";
import { realClock } from "../support/clock.ts";
import { type GateEngine, startGateEngine } from "../support/gate-engine.ts";
import { residentBytes } from "../support/memory.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";
import { writeAll } from "../support/write-all.ts";

setDefaultTimeout(60_000);
const MIB = 1024 * 1024;
const PATH = "/v1/completions";
const ROOM_BYTES = 4 * MIB;

let engine: GateEngine;
let proxy: ProxyProcess;
/** For bodies that do not come. */
let impatient: ProxyProcess;

beforeAll(async () => {
  engine = startGateEngine();
  const flags = ["--node", engine.url, "--max-body", "4MiB", "--max-body-memory", "4MiB"];
  proxy = await startProxy(flags);
  impatient = await startProxy([...flags, "--body-timeout", "0.3"]);
  for (const one of [proxy, impatient]) await untilHealthy(one);
});

afterAll(async () => {
  for (const one of [proxy, impatient]) await one.end("SIGKILL");
  await engine.stop();
});

/** A completion's body of exactly so many bytes. */
function bodyOf(bytes: number, model = "tiny"): string {
  const [start, end] = [`{"model":"${model}","prompt":"`, '"}'];
  return start + "x".repeat(bytes - start.length - end.length) + end;
}

function post(body: string, signal?: AbortSignal, to = proxy): Promise<Response> {
  return fetch(to.url + PATH, { method: "POST", body, ...(signal && { signal }) });
}

/** Sends a request with a body of so many bytes, but for the last 5, over a connection that stays. */
async function sendMost(bytes: number): Promise<Socket> {
  const { write, sent } = writeAll(Buffer.from(postText(PATH, bodyOf(bytes)).slice(0, -5)));
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
    socket: { open: write, drain: write, data() {} },
  });
  await sent;
  return socket;
}

/** The status that a body of so many bytes gets, from the engine if it is let in. */
async function statusOf(bytes: number, to = proxy): Promise<number> {
  let status = 0;
  const answered = post(bodyOf(bytes), undefined, to).then((answer) => {
    ({ status } = answer);
  });
  await until("it is in or refused", () => engine.waiting > 0 || status > 0);
  engine.release(1);
  await answered;
  return status;
}

/** A request that takes all there is goes through: nothing is still taken. */
async function untilAllIsThere(to = proxy): Promise<void> {
  await until("all memory is there", async () => (await statusOf(ROOM_BYTES, to)) === 200);
}

describe("while other bodies fill it", () => {
  test("a further one is refused for the moment, and taken when there is room", async () => {
    const first = post(bodyOf(ROOM_BYTES - 1_000));
    await until("it waits for the engine", () => engine.waiting === 1);
    const small = post(bodyOf(500));
    await until("a small one fits", () => engine.waiting === 2);
    const { answers } = await sendRaw(proxy.port, postText(PATH, bodyOf(2_000)));
    expect(answers.map(({ status }) => status)).toEqual([503]);
    expect(answers[0]?.headers.get("retry-after")).toBe("1");
    expect(answers[0]?.body).toContain("--max-body-memory");
    engine.release(2);
    expect((await Promise.all([first, small])).map(({ status }) => status)).toEqual([200, 200]);
    await untilAllIsThere();
  });

  test("administration goes on", async () => {
    const first = post(bodyOf(ROOM_BYTES));
    await until("it waits for the engine", () => engine.waiting === 1);
    const body = JSON.stringify({ url: "http://127.0.0.1:9" });
    const answer = await fetch(`${proxy.url}/nodes/drain`, { method: "POST", body });
    expect(answer.status).toBe(404);
    engine.release(1);
    expect((await first).status).toBe(200);
  });

  test("bodies on their way in count as far as they have come", async () => {
    await until("there is no room", async () => {
      const socket = await sendMost(ROOM_BYTES);
      // As long as the proxy has not read it, the other may come first, and this one be refused.
      const status = await statusOf(2_000_000);
      socket.terminate();
      return status === 503;
    });
    await untilAllIsThere();
  });
});

test("what is announced and does not come keeps no room from what does", async () => {
  const head = postText(PATH, bodyOf(MIB)).replace("\r\n", "\r\nExpect: 100-continue\r\n");
  let known = 0;
  const sockets = await Promise.all(
    Array.from({ length: 64 }, () =>
      Bun.connect({
        hostname: "127.0.0.1",
        port: proxy.port,
        socket: {
          open: (socket) => void socket.write(head.slice(0, 200)),
          data() {
            known += 1;
          },
        },
      }),
    ),
  );
  await until("all of them have begun", () => known === sockets.length);
  // They have a quarter at most, and little more.
  expect(await statusOf(2 * MIB)).toBe(200);
  for (const socket of sockets) socket.terminate();
  await untilAllIsThere();
});

describe("all is given back by requests", () => {
  const sizes = [["a short", 1_000] as const, ["a long", ROOM_BYTES] as const];

  test.each(sizes)("whose client leaves in the middle of %s body", async (_, bytes) => {
    (await sendMost(bytes)).terminate();
    await untilAllIsThere();
  });

  test.each(sizes)("whose client leaves after %s body", async (_, bytes) => {
    const leaving = new AbortController();
    const answer = post(bodyOf(bytes), leaving.signal).catch(() => null);
    await until("the engine has it", () => engine.waiting === 1);
    leaving.abort();
    await answer;
    await until("the engine is free", () => engine.waiting === 0);
    await untilAllIsThere();
  });

  test.each(sizes)("that send %s body too slowly", async (_, bytes) => {
    const sent = postText(PATH, bodyOf(bytes)).slice(0, -5);
    const { answers } = await sendRaw(impatient.port, sent, { untilClosed: true });
    expect(answers.map(({ status }) => status)).toEqual([408]);
    await untilAllIsThere(impatient);
  });

  test("whose body comes whole after all, when it has been refused", async () => {
    const bytes = 100;
    const memory = new BodyMemory(bytes, null);
    const slow = new SlowBodies(20, realClock);
    let client: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        client = controller;
        controller.enqueue(new Uint8Array(bytes / 2));
      },
    });
    const request = new Request("http://proxy/", { method: "POST", body });
    const reading = readBody(request, {
      maxBytes: bytes,
      slow,
      soon: realClock.soon,
      memory,
      flag: null,
    });
    expect(await reading.catch((error: unknown) => error)).toHaveProperty("status", 408);
    expect(() => memory.take(bytes)).toThrow("fill");
    client?.close();
    await until("all memory is there", () => {
      try {
        memory.take(bytes);
        return true;
      } catch {
        return false;
      }
    });
  });

  test("that ask without a body and announce one", async () => {
    const head = `GET /v1/responses/resp_1 HTTP/1.1\r\nHost: proxy\r\nContent-Length: 1000\r\n\r\n`;
    const asked = sendRaw(proxy.port, head + "x".repeat(1_000));
    await until("the engine has it", () => engine.waiting === 1);
    engine.release(1);
    expect((await asked).answers.map(({ status }) => status)).toEqual([200]);
    await untilAllIsThere();
  });

  test.each(sizes)("with %s body for a model that nobody serves", async (_, bytes) => {
    expect((await post(bodyOf(bytes, "other"))).status).toBe(404);
    await untilAllIsThere();
  });

  test.each([
    ["no JSON", "x".repeat(100_000), 400],
    ["more than one may", "x".repeat(ROOM_BYTES + 1), 413],
  ])("that send %s in chunks", async (_, body, status) => {
    const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    const head = `POST ${PATH} HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const { answers } = await sendRaw(proxy.port, head + chunk);
    expect(answers.map((answer) => answer.status)).toEqual([status]);
    await untilAllIsThere();
  });
});

test.skipIf(process.platform !== "linux")(
  "many clients with large bodies take no more",
  async () => {
    await using roomy = await startProxy([
      ...["--node", engine.url, "--max-body", "32MiB", "--max-body-memory", "64MiB"],
    ]);
    await untilHealthy(roomy);
    const before = residentBytes(roomy.process.pid);
    const body = bodyOf(16 * MIB);
    const asked = Array.from({ length: 40 }, async () => {
      const answer = await fetch(roomy.url + PATH, { method: "POST", body });
      await answer.bytes();
      return answer.status;
    });
    let isOver = false;
    let peakBytes = 0;
    const answered = Promise.all(asked).finally(() => {
      isOver = true;
    });
    await until("all have an answer", () => {
      peakBytes = Math.max(peakBytes, residentBytes(roomy.process.pid));
      engine.release(engine.waiting);
      return isOver;
    });
    expect(new Set(await answered)).toEqual(new Set([200, 503]));
    expect((peakBytes - before) / MIB).toBeLessThan(320);
  },
);
