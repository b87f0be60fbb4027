/** Faults of LMDeploy's Python proxies that must not come back; the numbers are those of their list. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { engineStarter } from "../sim/server/running.ts";
import { ask, askInTurn, times } from "../support/ask.ts";
import { startEngineProcess } from "../support/engine-process.ts";
import { startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { httpAnswer, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const start = engineStarter();

test("fault 1: the latency of a stream goes to its last byte", async () => {
  const engine = await start();
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  engine.setFaults([{ fault: { kind: "slow", firstByteMs: 100, perChunkMs: 20 } }]);
  await (await ask(proxy, { max_tokens: 20, ignore_eos: true, stream: true })).bytes();
  const { latency = [], unfinished } = (await proxy.status())[engine.url] ?? {};
  expect(unfinished).toBe(0);
  expect(latency).toHaveLength(1);
  // Timers may fire a little early, never by a half.
  expect(latency[0]).toBeGreaterThan((0.1 + 20 * 0.02) / 2);
});

test("fault 2: a node that has gone is noticed without any request", async () => {
  const engine = await startEngineProcess();
  await using proxy = await startProxy(["--node", engine.url, "--health-interval", "0.1"]);
  await untilHealthy(proxy);
  engine.kill("SIGKILL");
  await until("it is unhealthy", async () => {
    return (await proxy.status())[engine.url]?.state === "unhealthy";
  });
});

test("fault 3: a node that is slow to say what it serves stops nobody", async () => {
  const engine = await start();
  const slow = startRawServer({ script: () => [], probes: { "/v1/models": [] } });
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const add = await fetch(`${proxy.url}/nodes/add`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url: slow.url }),
  });
  expect(add.status).toBe(200);
  await until("it is healthy, its models unknown", async () => {
    const node = (await proxy.status())[slow.url];
    return node?.state === "healthy" && node.models.length === 0;
  });
  expect(await askInTurn(proxy, 20)).toEqual(times(20, 200));
  expect((await fetch(`${proxy.url}/v1/models`)).status).toBe(200);
  slow.stop();
});

test("fault 9: an engine's status, headers and bytes reach the client as they are", async () => {
  const body = '{"object":"error",  "message":"kept \\u00e9 byte for byte","code":400}';
  let status = 0;
  const engine = startRawServer({
    script: () => [{ send: httpAnswer(body, ["x-engine: kept"], `${status} X`) }],
  });
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  for (status of [201, 400, 401, 404, 418, 422, 429, 500, 502, 503, 504]) {
    const answer = await ask(proxy);
    expect([answer.status, answer.headers.get("x-engine")]).toEqual([status, "kept"]);
    expect(await answer.text()).toBe(body);
  }
  engine.stop();
});

test("fault 13: a client that leaves ends its request on the engine, in every phase", async () => {
  const engine = await start({ timeScale: 1 });
  await using proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
  const body = { model: "tiny", prompt: "x", max_tokens: 5_000, ignore_eos: true };
  let left = 0;
  const phases = {
    "before the first byte": { stream: true, hang: true },
    "in the stream": { stream: true, hang: false },
    "while a whole answer is computed": { stream: false, hang: false },
  };
  for (const [phase, { stream, hang }] of Object.entries(phases)) {
    engine.setFaults(hang ? [{ fault: { kind: "hang", at: "before-headers" } }] : []);
    const exchanges = times(10, null).map(() =>
      rawPost(proxy.port, "/v1/completions", { ...body, stream }),
    );
    await until(`${phase}: all are at the engine`, () => engine.state().openRequests === 10);
    if (stream && !hang) {
      await until("all have begun", () =>
        exchanges.every(({ receivedBytes }) => receivedBytes > 0),
      );
    }
    for (const exchange of exchanges) exchange.leave();
    left += exchanges.length;
    await until(`${phase}: the engine has cancelled them`, () => {
      return engine.state().openRequests === 0 && engine.state().cancelledRequests === left;
    });
    await until(`${phase}: none is counted`, async () => {
      return (await proxy.status())[engine.url]?.unfinished === 0;
    });
  }
  expect((await proxy.status())[engine.url]?.state).toBe("healthy");
  expect((await proxy.status())[engine.url]?.last_error).toBeNull();
});
