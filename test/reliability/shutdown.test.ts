/** SIGTERM: nothing new, what runs finishes within its time, the rest is cut honestly. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engineStarter } from "../sim/server/running.ts";
import { ask, times } from "../support/ask.ts";
import { startGateEngine } from "../support/gate-engine.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { RawExchange, rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const start = engineStarter();
const STREAM = { model: "tiny", prompt: "x", ignore_eos: true, stream: true };

async function untilDraining(proxy: ProxyProcess): Promise<void> {
  await until("/ready says no", async () => (await fetch(`${proxy.url}/ready`)).status === 503);
}

test("streams finish, new inference is refused, and the listener stays until the last one has ended", async () => {
  const engine = await start({ timeScale: 1 });
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const exchanges = times(20, null).map(() =>
    rawPost(proxy.port, "/v1/completions", { ...STREAM, max_tokens: 1_000 }),
  );
  await until("all have begun", () => exchanges.every(({ receivedBytes }) => receivedBytes > 0));
  // None ends before what is to be seen meanwhile.
  engine.setPace(0);
  proxy.process.kill("SIGTERM");
  await untilDraining(proxy);
  expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
  const refused = await rawPost(proxy.port, "/v1/completions", STREAM).ended;
  expect(refused.status).toBe(503);
  expect(refused.head).toMatch(/^connection: close$/im);
  expect(refused.head).toMatch(/^retry-after: 1$/im);
  engine.setPace(100);
  for (const { ended } of exchanges) {
    const answer = await ended;
    expect(answer.complete).toBe(true);
    expect(answer.body.toString()).toEndWith("data: [DONE]\n\n");
  }
  expect(await proxy.process.exited).toBe(0);
  expect(proxy.log()).toContain('"msg":"ending: what runs or waits may finish","unfinished":20');
  expect(proxy.log()).toContain('"msg":"ending: all has finished"');
  expect(engine.state().totalRequests).toBe(20);
});

test("what lasts longer than --drain-timeout is cut with a last event, and cancelled at the engine", async () => {
  const engine = await start({ timeScale: 1 });
  await using proxy = await startProxy(["--node", engine.url, "--drain-timeout", "0.2"]);
  await untilHealthy(proxy);
  const body = { ...STREAM, max_tokens: 5_000 };
  const exchanges = times(20, null).map(() => rawPost(proxy.port, "/v1/completions", body));
  await until("all have begun", () => exchanges.every(({ receivedBytes }) => receivedBytes > 0));
  engine.setFaults([{ fault: { kind: "hang", at: "before-headers" } }]);
  const silent = ask(proxy);
  await until("one has no byte yet", () => engine.state().openRequests === 21);
  proxy.process.kill("SIGTERM");
  for (const { ended } of exchanges) {
    const answer = await ended;
    expect(answer).toMatchObject({ complete: false, connection: "reset" });
    expect(answer.body.toString()).toEndWith(
      'data: {"error":{"message":"The answer broke off: the proxy is shutting down.",' +
        '"type":"server_error","code":"service_unavailable","param":null}}\n\n',
    );
  }
  expect((await silent).status).toBe(503);
  expect(await proxy.process.exited).toBe(0);
  expect(proxy.log()).toContain('"msg":"ending: what is left is cut","unfinished":21');
  await until("the engine is rid of them", () => engine.state().openRequests === 0);
});

test.each([
  ["in time", ["--drain-timeout", "30"], '"ending: all has finished"', 12],
  ["cut", ["--drain-timeout", "0.2"], '"ending: what is left is cut","unfinished":12', 0],
  ["announced", ["--shutdown-delay", "0.2"], '"ending: all has finished"', 12],
] as const)(
  "workers end as one: what runs in all of them, and what is cut, is said once (%s)",
  async (_, flags, saysLast, released) => {
    const engine = startGateEngine();
    await using proxy = await startProxy(["--node", engine.url, "--workers", "2", ...flags]);
    await untilHealthy(proxy);
    // A connection of its own for each, so that both workers have some.
    const alone = { headers: { connection: "close" }, keepalive: false };
    const answers = times(12, null).map(() => ask(proxy, {}, alone).then(({ status }) => status));
    await until("all are at the engine", () => engine.waiting === 12);
    proxy.process.kill("SIGTERM");
    const runs = '"ending: what runs or waits may finish","unfinished":12,';
    await until("it is said", () => proxy.log().includes(runs));
    engine.release(released);
    expect(await Promise.all(answers)).toEqual(times(12, released === 0 ? 503 : 200));
    expect(await proxy.process.exited).toBe(0);
    const said = proxy.log().match(/"(?:ending|about to end): .*/g) ?? [];
    expect(said.map((line) => line.replace(/,"limit_s".*|}$/, ""))).toEqual([
      ...(flags[0] === "--shutdown-delay"
        ? ['"about to end: not ready any more","serves_for_s":0.2']
        : []),
      runs.slice(0, -1),
      saysLast,
    ]);
    await engine.stop();
  },
);

/** Asks over new connections, one after the other, until one fails; how that failed. */
async function untilFailure(port: number, statuses: Set<number>): Promise<string> {
  for (;;) {
    const { promise, resolve } = Promise.withResolvers<number | NodeJS.ErrnoException>();
    const sent = request({
      host: "127.0.0.1",
      port,
      path: "/v1/completions",
      method: "POST",
      agent: false,
      headers: { "content-type": "application/json" },
    });
    sent.on("error", resolve).on("response", (answer) => {
      answer
        .on("error", resolve)
        .on("end", () => resolve(answer.statusCode ?? 0))
        .resume();
    });
    sent.end(JSON.stringify({ model: "tiny", prompt: "x", max_tokens: 1 }));
    const came = await promise;
    if (typeof came !== "number") return came.code ?? String(came);
    statuses.add(came);
  }
}

const PROGRAM = [process.execPath, "src/main.ts"];
/** As where it is no administrator's: in a container, or the unit of systemd. */
const WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", ...PROGRAM];

test.skipIf(process.platform !== "linux").each([
  ["one process", [], PROGRAM],
  ["one process without rights", [], process.getuid?.() === 0 ? WITHOUT_RIGHTS : PROGRAM],
  ["two workers", ["--workers", "2"], PROGRAM],
])(
  "where new connections come to the last moment, %s resets none: they are answered or refused",
  async (_what, flags, command) => {
    const engine = await start({ timeScale: 0 });
    await using proxy = await startProxy(["--node", engine.url, ...flags], { command });
    await untilHealthy(proxy);
    const statuses = new Set<number>();
    const failures = times(32, null).map(() => untilFailure(proxy.port, statuses));
    await until("they are answered", () => statuses.has(200));
    proxy.process.kill("SIGTERM");
    expect(new Set(await Promise.all(failures))).toEqual(new Set(["ECONNREFUSED"]));
    expect([...statuses].filter((status) => status !== 200 && status !== 503)).toEqual([]);
    expect(await proxy.process.exited).toBe(0);
  },
);

test.each([
  ["one process", []],
  ["two workers", ["--workers", "2"]],
])("a second signal ends %s at once", async (_what, flags) => {
  const engine = startGateEngine();
  await using proxy = await startProxy(["--node", engine.url, ...flags]);
  await untilHealthy(proxy);
  const answer = ask(proxy).catch(() => "cut");
  await until("it is at the engine", () => engine.waiting === 1);
  proxy.process.kill("SIGTERM");
  await untilDraining(proxy);
  proxy.process.kill("SIGTERM");
  expect(await proxy.process.exited).not.toBe(0);
  expect(await answer).toBe("cut");
  await until("the engine is rid of it", () => engine.waiting === 0);
  await engine.stop();
});

test("who waits in the queue is served as long as there is time, and refused after that", async () => {
  for (const [seconds, statuses] of [
    ["60", [200, 200]],
    ["0.1", [503, 503]],
  ] as const) {
    const engine = startGateEngine();
    const flags = ["--max-concurrency", "1", "--drain-timeout", seconds];
    await using proxy = await startProxy(["--node", engine.url, ...flags]);
    await untilHealthy(proxy);
    const answers = [ask(proxy)];
    await until("one is at the engine", () => engine.waiting === 1);
    answers.push(ask(proxy));
    await until("the other one waits", async () => {
      const page = await (await fetch(`${proxy.url}/metrics`)).text();
      return /^lmproxy_queue_length 1$/m.test(page);
    });
    proxy.process.kill("SIGTERM");
    if (seconds === "60") {
      await untilDraining(proxy);
      engine.release(1);
      await until("the other one is at the engine", () => engine.arrived.length === 2);
      engine.release(1);
    }
    const got = await Promise.all(answers.map(async (answer) => (await answer).status));
    expect(got).toEqual([...statuses]);
    expect(await proxy.process.exited).toBe(0);
    await engine.stop();
  }
});

test("a body that is still coming when draining begins is refused, not begun and cut", async () => {
  const engine = startGateEngine();
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const running = ask(proxy);
  await until("one is at the engine", () => engine.waiting === 1);
  const head = "POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: 16\r\n\r\n";
  const late = new RawExchange(proxy.port, `${head}{"model":`, false);
  await (await fetch(`${proxy.url}/health`)).bytes();
  proxy.process.kill("SIGTERM");
  await untilDraining(proxy);
  late.send('"tiny"}');
  expect((await late.ended).status).toBe(503);
  engine.release(1);
  expect((await running).status).toBe(200);
  expect(await proxy.process.exited).toBe(0);
  expect(engine.arrived.length).toBe(1);
  await engine.stop();
});

test("an upload has its answer, also when nothing else runs", async () => {
  for (const seconds of ["60", "0.3"]) {
    const engine = startGateEngine();
    await using proxy = await startProxy(["--node", engine.url, "--drain-timeout", seconds]);
    await untilHealthy(proxy);
    const head = "POST /generate HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 16";
    const upload = new RawExchange(proxy.port, `${head}\r\n\r\n{"model":`, false);
    await until("the proxy has its head", () => upload.receivedBytes > 0);
    proxy.process.kill("SIGTERM");
    if (seconds === "60") {
      await untilDraining(proxy);
      upload.send('"tiny"}');
    }
    const answer = await upload.ended;
    expect(answer.body.toString()).toContain("HTTP/1.1 503 ");
    expect(await proxy.process.exited).toBe(0);
    expect(engine.arrived.length).toBe(0);
    await engine.stop();
  }
});

test("nodes that registered are there again after the restart", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lmproxy-"));
  const state = ["--state", join(folder, "nodes.json")];
  const engine = await start();
  {
    await using proxy = await startProxy(state);
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ url: engine.url });
    await fetch(`${proxy.url}/nodes/add`, { method: "POST", headers, body });
    expect(await proxy.end()).toBe(0);
  }
  {
    await using proxy = await startProxy(state);
    await untilHealthy(proxy);
    expect((await ask(proxy)).status).toBe(200);
  }
  await rm(folder, { recursive: true });
});
