/** Engines that close connections which they were expected to keep: no request is lost, no engine blamed. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { httpAnswer, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const MODELS = '{"object":"list","data":[{"id":"tiny","object":"model"}]}';
const listeners: { stop(force: boolean): void }[] = [];

afterEach(() => {
  for (const listener of listeners.splice(0)) listener.stop(true);
});

/** Answers one request on each connection, and resets it at the next, as after uvicorn's unannounced close. */
function startForgetful(answer: (body: string) => string) {
  const seen: string[] = [];
  const listener = Bun.listen<{ requests: number }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { requests: 0 };
      },
      data(socket, bytes) {
        socket.data.requests += 1;
        if (socket.data.requests > 1) return void socket.terminate();
        const text = bytes.toString();
        if (text.startsWith("GET ")) return void socket.write(httpAnswer(MODELS));
        seen.push(text);
        socket.write(answer(text));
      },
    },
  });
  listeners.push(listener);
  return { url: `http://127.0.0.1:${listener.port}`, seen };
}

test("an engine that closes behind every answer without a word loses nothing", async () => {
  const engine = startForgetful(() => httpAnswer('{"choices":[{}]}'));
  await using proxy = await startProxy(["--node", engine.url, "--health-interval", "60"]);
  await untilHealthy(proxy);
  const statuses = [];
  for (let i = 0; i < 30; i += 1) statuses.push((await ask(proxy)).status);
  expect(statuses).toEqual(times(30, 200));
  expect(engine.seen.length).toBe(30);
  expect(proxy.log()).not.toContain("node is out");
});

test("with --no-retry-sent nothing is sent twice, not even then", async () => {
  const engine = startForgetful(() => httpAnswer('{"choices":[{}]}'));
  const flags = ["--no-retry-sent", "--health-interval", "60"];
  await using proxy = await startProxy(["--node", engine.url, ...flags]);
  await untilHealthy(proxy);
  expect([(await ask(proxy)).status, (await ask(proxy)).status]).toEqual([200, 502]);
});

test.each(["close", "Close", "keep-alive, close"])(
  "behind an answer with Connection: %s, what is lost was lost on a connection of its own",
  async (connection) => {
    const engine = startRawServer({
      probes: { "/metrics": [{ send: httpAnswer("") }] },
      script: () =>
        engine.requests.length === 1
          ? [{ send: httpAnswer('{"choices":[{}]}', [`connection: ${connection}`]) }]
          : [{ reset: true }],
    });
    listeners.push(engine);
    await using proxy = await startProxy(["--node", engine.url, "--health-interval", "60"]);
    await untilHealthy(proxy);
    expect([(await ask(proxy)).status, (await ask(proxy)).status]).toEqual([200, 502]);
    expect(engine.requests.length).toBe(2);
  },
);

test("one client's 500s take nobody else's request, and no engine, with them", async () => {
  const engines = times(2, null).map(() =>
    startForgetful((text) =>
      text.includes('"bad"')
        ? httpAnswer("Internal Server Error", [], "500 X")
        : httpAnswer('{"choices":[{}]}'),
    ),
  );
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  await using proxy = await startProxy([...nodes, "--health-interval", "60"]);
  await untilHealthy(proxy, 2);
  const statuses = [];
  for (let i = 0; i < 20; i += 1) {
    await ask(proxy, { prompt: "bad" });
    statuses.push((await ask(proxy)).status);
  }
  expect(statuses).toEqual(times(20, 200));
});
