import { afterAll, expect, test } from "bun:test";
import type { Socket } from "bun";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { Connections } from "../../src/upstream/connections.ts";

/** What uvicorn keeps an idle connection for, ms. */
const ENGINE_KEEPS_MS = 5_000;

let nowMs = 0;
let accepted = 0;

/** Closes a connection that has been idle for too long in the moment when a request arrives over it. */
const engine = Bun.listen<{ usedAtMs: number }>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      accepted += 1;
      socket.data = { usedAtMs: nowMs };
    },
    data: answer,
  },
});
const url = `http://127.0.0.1:${engine.port}/generate`;
afterAll(() => engine.stop(true));

function answer(socket: Socket<{ usedAtMs: number }>): void {
  if (nowMs - socket.data.usedAtMs >= ENGINE_KEEPS_MS) {
    socket.terminate();
    return;
  }
  socket.data.usedAtMs = nowMs;
  socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
}

async function post(connections: Connections): Promise<string> {
  return await (await connections.fetch(url, { method: "POST", body: "{}" })).text();
}

test("connections are kept alive and used again", async () => {
  const connections = new Connections(() => nowMs);
  const before = accepted;
  for (let i = 0; i < 100; i += 1) expect(await post(connections)).toBe("ok");
  expect(accepted - before).toBe(1);
});

test("none is used that an engine may be about to close", async () => {
  const connections = new Connections(() => nowMs);
  const random = seededRandom(3);
  for (let i = 0; i < 300; i += 1) {
    nowMs += Math.floor(random() * 12_000);
    const atOnce = 1 + Math.floor(random() * 4);
    const answers = await Promise.all(Array.from({ length: atOnce }, () => post(connections)));
    expect(answers).toEqual(answers.map(() => "ok"));
  }
});
