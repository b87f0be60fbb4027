/**
 * Many requests at once: streams that are silent for longer than any time limit on the way, and
 * clients that come and go. The second runs while the first waits.
 */
import { expect, test } from "bun:test";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

const STREAMS = 1_000;
const SILENCE_MS = 12_000;
/**
 * What ends long before that, of what has a limit by default; an idle connection does within 8 s. A thousand
 * who connect at once are more than an accept queue holds: those who are left out ask again after 1 and 3 s.
 */
const LIMITS = ["--connect-timeout", "5", "--body-timeout", "5", "--queue-timeout", "5"];

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

test.concurrent("1,000 streams that are silent for longer than all limits before their first token complete", async () => {
  const engine = await startEngine({
    models: ["m"],
    faults: [{ fault: { kind: "slow", firstByteMs: SILENCE_MS } }],
  });
  await using proxy = await startProxy(["--node", engine.url, "--keep-alive", "1", ...LIMITS]);
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

const REQUESTS = 10_000;
const AT_ONCE = 64;
const MESSAGES = [{ role: "user", content: "Say something long, please." }];

const KINDS: readonly (readonly [string, object])[] = [
  ["/v1/chat/completions", { messages: MESSAGES, max_tokens: 8 }],
  ["/v1/chat/completions", { messages: MESSAGES, max_tokens: 24, stream: true }],
  ["/v1/completions", { prompt: "Once", max_tokens: 8 }],
  ["/v1/completions", { prompt: "Once", max_tokens: 24, stream: true }],
  ["/v1/responses", { input: "hello", max_output_tokens: 8, stream: true }],
  ["/v1/messages", { messages: MESSAGES, max_tokens: 8, stream: true }],
  ["/v1/encode", { input: ["a", "b"] }],
  ["/generate", { prompt: "Once", max_tokens: 8 }],
  ["/get_ppl", { input: "a" }],
];

test.concurrent("10,000 requests of every kind, a third of them cancelled, leave nothing in flight", async () => {
  const random = seededRandom(42);
  const engines = await Promise.all(
    [1, 2, 3].map((seed) => startEngine({ models: ["m"], seed, voice: "tricky", timeScale: 0.02 })),
  );
  await using proxy = await startProxy(engines.flatMap(({ url }) => ["--node", url]));
  await untilHealthy(proxy, 3);
  let completed = 0;
  let cancelled = 0;

  async function one(): Promise<void> {
    const [path, body] = KINDS[Math.floor(random() * KINDS.length)] ?? KINDS[0] ?? ["", {}];
    const leaves = random() < 1 / 3;
    const controller = new AbortController();
    const timer = leaves ? setTimeout(() => controller.abort(), random() * 12) : null;
    try {
      const answer = await fetch(proxy.url + path, {
        method: "POST",
        headers: { "anthropic-version": "2023-06-01", "content-type": "application/json" },
        body: JSON.stringify({ model: "m", ...body }),
        signal: controller.signal,
      });
      const text = await answer.text();
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${text}`);
      completed += 1;
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      cancelled += 1;
    } finally {
      if (timer !== null) clearTimeout(timer);
    }
  }

  let left = REQUESTS;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (; left > 0; ) {
        left -= 1;
        await one();
      }
    }),
  );
  expect(completed + cancelled).toBe(REQUESTS);
  expect(cancelled).toBeGreaterThan(REQUESTS / 10);
  await until("no request is in flight", async () =>
    Object.values(await proxy.status()).every(({ unfinished }) => unfinished === 0),
  );
  await until("every engine is idle", () =>
    engines.every((engine) => {
      const { openRequests, running, waiting } = engine.state();
      return openRequests + running + waiting === 0;
    }),
  );
  await Promise.all(engines.map((engine) => engine.stop(true)));
}, 120_000);
