/** Long prefills: many streams at once, each silent for longer than any default time limit on the way. */
import { expect, test } from "bun:test";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { startProxy } from "../support/proxy.ts";
import { untilHealthy } from "../support/until-healthy.ts";

const STREAMS = 1_000;
const SILENCE_MS = 30_000;

/** One request over a connection of its own (fetch holds more than 256 back); resolves with all that came. */
function rawRequest(port: number, path: string, body: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = "";
  void Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n`;
        socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      },
      data: (_socket, piece) => {
        received += piece.toString();
      },
      close: () => resolve(received),
      error: () => resolve(received),
    },
  });
  return promise;
}

test("1,000 streams with 30 s of silence before the first token all complete", async () => {
  const engine = await startEngine({
    models: ["m"],
    faults: [{ fault: { kind: "slow", firstByteMs: SILENCE_MS } }],
  });
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const body = JSON.stringify({ model: "m", prompt: "x", max_tokens: 3, stream: true });
  const answers = await Promise.all(
    Array.from({ length: STREAMS }, () => rawRequest(proxy.port, "/v1/completions", body)),
  );
  const incomplete = answers.filter((answer) => !/data: \[DONE\]\n\n\r\n0\r\n\r\n$/.test(answer));
  expect({ incomplete: incomplete.length, first: incomplete[0] }).toEqual({
    incomplete: 0,
    first: undefined,
  });
  expect(engine.state().openRequests).toBe(0);
  await engine.stop(true);
}, 120_000);
