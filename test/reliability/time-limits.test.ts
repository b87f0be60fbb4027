/** Time limits on engines and on clients, and that neither holds others up. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { engineStarter } from "../sim/server/running.ts";
import { ask, askInTurn, times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { RAW_ANSWERS } from "../support/raw-answers.ts";
import { RawExchange, rawPost } from "../support/raw-client.ts";
import { startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

// Limits are such that this process, which has the engines, may stand still for a second.
setDefaultTimeout(60_000);
const start = engineStarter("all");

test.concurrent("a hung engine holds nobody up: 600 requests wait for it, others are answered", async () => {
  const hung = startRawServer({ models: ["hung"], script: () => RAW_ANSWERS.silence });
  const engine = await start();
  await using proxy = await startProxy(["--node", hung.url, "--node", engine.url]);
  await untilHealthy(proxy, 2);
  const waiting = times(600, null).map(() => rawPost(proxy.port, "/generate", { model: "hung" }));
  await until("all of them are at the engine", () => hung.requests.length >= 600);
  expect(await askInTurn(proxy, 50)).toEqual(times(50, 200));
  expect((await proxy.status())[hung.url]?.unfinished).toBe(600);
  for (const exchange of waiting) exchange.leave();
  await until("the engine is rid of them", () => hung.connections().open < 100);
  await until("none is counted", async () => {
    return (await proxy.status())[hung.url]?.unfinished === 0;
  });
  hung.stop();
});

test.concurrent("--first-byte-timeout: 504 that says so, in the client's dialect", async () => {
  const engine = startRawServer({ script: () => RAW_ANSWERS.headOnly });
  await using proxy = await startProxy(["--node", engine.url, "--first-byte-timeout", "0.2"]);
  await untilHealthy(proxy);
  const openai = await ask(proxy);
  expect([openai.status, await openai.json()]).toEqual([
    504,
    {
      error: {
        message: "The engine took too long: no answer within the first-byte time limit.",
        type: "server_error",
        code: "upstream_timeout",
        param: null,
      },
    },
  ]);
  const anthropic = await fetch(`${proxy.url}/v1/messages`, {
    method: "POST",
    body: JSON.stringify({ model: "tiny", max_tokens: 5, messages: [] }),
  });
  expect([anthropic.status, await anthropic.json()]).toMatchObject([504, { type: "error" }]);
  engine.stop();
});

test.concurrent("--idle-timeout cuts what stands still, not what trickles", async () => {
  const engine = await start();
  await using proxy = await startProxy(["--node", engine.url, "--idle-timeout", "2"]);
  await untilHealthy(proxy);
  // All in all longer than the limit.
  engine.setFaults([{ fault: { kind: "slow", perChunkMs: 100 }, count: 1 }]);
  const body = { model: "tiny", prompt: "x", max_tokens: 30, ignore_eos: true, stream: true };
  const trickling = await rawPost(proxy.port, "/v1/completions", body).ended;
  expect(trickling.body.toString()).toEndWith("data: [DONE]\n\n");
  engine.setFaults([{ fault: { kind: "hang", at: "body", afterBytes: 500 }, count: 1 }]);
  const hung = await rawPost(proxy.port, "/v1/completions", body).ended;
  expect(hung).toMatchObject({ complete: false, connection: "reset" });
  await until("the engine is rid of it", () => engine.state().openRequests === 0);
});

test.concurrent("--idle-timeout is about the engine: a client that does not read is not cut, nor the engine blamed", async () => {
  const engine = await start();
  const flags = ["--idle-timeout", "0.5", "--health-interval", "0.05"];
  await using proxy = await startProxy(["--node", engine.url, ...flags]);
  await untilHealthy(proxy);
  engine.setFaults([{ fault: { kind: "flood", bytes: 20_000_000 }, path: "/v1/completions" }]);
  const exchange = rawPost(
    proxy.port,
    "/v1/completions",
    { model: "tiny", prompt: "x" },
    { paused: true },
  );
  await until("it is under way", () => engine.state().openRequests === 1);
  // Probes are the clock: some hundred ms for each ten.
  const probes = () => engine.state().requestsByPath["/health"] ?? 0;
  const enough = probes() + 40;
  await until("much more than the limit has passed", () => probes() >= enough);
  exchange.resume();
  const answer = await exchange.ended;
  expect([answer.complete, answer.body.length]).toEqual([true, 20_000_000]);
  expect((await proxy.status())[engine.url]?.last_error).toBeNull();
});

test.concurrent("a short answer has begun with its head: from there on --idle-timeout counts, not --first-byte-timeout", async () => {
  const head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n";
  let isSlow = true;
  const engine = startRawServer({
    script: () => (isSlow ? [{ send: head }, { waitMs: 2_000 }, { send: "{}" }] : [{ send: head }]),
  });
  const limits = ["--first-byte-timeout", "1.5", "--idle-timeout", "4"];
  await using proxy = await startProxy(["--node", engine.url, "--no-retry", ...limits]);
  await untilHealthy(proxy);
  expect((await ask(proxy)).status).toBe(200);
  isSlow = false;
  const cut = await ask(proxy);
  expect(cut.status).toBe(504);
  expect(await cut.text()).toContain("stood still for longer than the idle time limit");
  engine.stop();
});

test.concurrent("--timeout is for everything together, and cuts a stalled client's answer, too", async () => {
  const engine = await start();
  await using proxy = await startProxy(["--node", engine.url, "--timeout", "3"]);
  await untilHealthy(proxy);
  engine.setFaults([{ fault: { kind: "slow", perChunkMs: 30 }, count: 1 }]);
  const body = { model: "tiny", prompt: "x", max_tokens: 200, ignore_eos: true, stream: true };
  const cut = await rawPost(proxy.port, "/v1/completions", body).ended;
  expect(cut).toMatchObject({ status: 200, complete: false, connection: "reset" });
  expect(cut.body.toString()).toEndWith(
    'data: {"error":{"message":"The answer broke off: no complete answer within the total time limit.",' +
      '"type":"server_error","code":"upstream_timeout","param":null}}\n\n',
  );
  engine.setFaults([{ fault: { kind: "flood", bytes: 50_000_000 } }]);
  const stalled = rawPost(proxy.port, "/v1/completions", body, { paused: true });
  await until("it is under way", () => engine.state().openRequests === 1);
  await until("the engine is rid of it", () => engine.state().openRequests === 0);
  stalled.resume();
  const answer = await stalled.ended;
  expect([answer.complete, answer.connection]).toEqual([false, "reset"]);
});

test.concurrent("--body-timeout: a client that stops sending gets 408, and others are not held up", async () => {
  const engine = await start();
  await using proxy = await startProxy(["--node", engine.url, "--body-timeout", "0.3"]);
  await untilHealthy(proxy);
  const head = "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n";
  const slow = times(100, null).map(() => new RawExchange(proxy.port, `${head}{"model":`, false));
  expect(await askInTurn(proxy, 20)).toEqual(times(20, 200));
  const answers = await Promise.all(slow.map(({ ended }) => ended));
  expect(answers.map(({ status }) => status)).toEqual(times(100, 408));
  for (const { head: answerHead } of answers) expect(answerHead).toMatch(/^connection: close$/im);
  expect(engine.state().totalRequests).toBe(20);
});
