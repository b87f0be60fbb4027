/** Engines that fall silent without a word: their process is stopped, or their host is gone. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, askInTurn, times } from "../support/ask.ts";
import { fillAcceptQueue } from "../support/black-hole.ts";
import { startEngineProcess } from "../support/engine-process.ts";
import { startGateEngine } from "../support/gate-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const QUICK_PROBES = ["--health-interval", "0.2", "--health-timeout", "0.3"];
/** Seconds long: it does not end before its engine is stopped. */
const LONG = { model: "tiny", prompt: "x", max_tokens: 1_000, ignore_eos: true, stream: true };

async function startTwo(flags: readonly string[]) {
  const engines = await Promise.all([
    startEngineProcess({ timeScale: 1 }),
    startEngineProcess({ timeScale: 1 }),
  ]);
  const [silent, other] = engines;
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const proxy = await startProxy([...nodes, "--strategy", "random", ...flags]);
  await untilHealthy(proxy, 2);
  const stateOf = async (url: string) => (await proxy.status())[url]?.state;
  return {
    silent,
    other,
    proxy,
    stateOf,
    async [Symbol.asyncDispose]() {
      for (const each of [proxy, ...engines]) await each[Symbol.asyncDispose]();
    },
  };
}

test.concurrent("when probes eject a stopped engine, its requests without a byte move to another", async () => {
  await using cluster = await startTwo(QUICK_PROBES);
  const { silent, proxy, stateOf } = cluster;
  silent.kill("SIGSTOP");
  const statuses = await Promise.all(
    times(20, null).map(() =>
      ask(proxy).then((answer) => answer.bytes().then(() => answer.status)),
    ),
  );
  expect(statuses).toEqual(times(20, 200));
  expect(await stateOf(silent.url)).toBe("unhealthy");
  expect((await proxy.status())[silent.url]?.unfinished).toBe(0);
  silent.kill("SIGCONT");
  await until("it is back", async () => (await stateOf(silent.url)) === "healthy");
});

test.concurrent("requests without a byte leave a stopped engine also when it was removed meanwhile", async () => {
  await using cluster = await startTwo(["--health-interval", "0.2", "--health-timeout", "1"]);
  const { silent, proxy } = cluster;
  silent.kill("SIGSTOP");
  const statuses = times(20, null).map(() => askInTurn(proxy, 1));
  await until("some are on it", async () => {
    const node = (await proxy.status())[silent.url];
    return node !== undefined && node.unfinished > 0 && node.state === "healthy";
  });
  await fetch(`${proxy.url}/nodes/remove`, {
    method: "POST",
    body: JSON.stringify({ url: silent.url }),
  });
  expect((await Promise.all(statuses)).flat()).toEqual(times(20, 200));
});

test.concurrent("an engine that was removed and stops listening may finish what it has", async () => {
  const [leaving, other] = [startGateEngine(), startGateEngine()];
  let probes = 0;
  const witness = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: { "/v1/models": Response.json({ object: "list", data: [{ id: "another" }] }) },
    fetch: ({ url }) => {
      if (url.endsWith("/health")) probes += 1;
      return new Response();
    },
  });
  await using proxy = await startProxy(["--node", leaving.url, "--health-interval", "0.05"]);
  const administer = (action: string, url: string) =>
    fetch(`${proxy.url}/nodes/${action}`, { method: "POST", body: JSON.stringify({ url }) });
  await untilHealthy(proxy);
  const answer = ask(proxy);
  await until("the engine has it", () => leaving.waiting === 1);
  await administer("add", other.url);
  await administer("add", witness.url.origin);
  await untilHealthy(proxy, 3);
  await administer("remove", leaving.url);
  leaving.stopListening();
  const before = probes;
  await until("all have been probed, and it too", () => probes >= before + 10);
  leaving.release(1);
  expect((await answer).status).toBe(200);
  expect(other.arrived).toEqual([]);
  for (const engine of [leaving, other, witness]) await engine.stop();
});

test.concurrent("with nowhere to go, or no right to be sent again, requests wait for it instead of failing", async () => {
  for (const [count, flags] of [
    [1, []],
    [2, ["--no-retry-sent"]],
    [2, ["--no-retry"]],
  ] as const) {
    await using cluster = await startTwo([...QUICK_PROBES, ...flags]);
    const { silent, other, proxy, stateOf } = cluster;
    if (count === 1) {
      await other[Symbol.asyncDispose]();
      await until("it is alone", async () => (await stateOf(other.url)) === "unhealthy");
    }
    silent.kill("SIGSTOP");
    const asked = times(20, null).map(() => askInTurn(proxy, 1));
    await until("it is out", async () => (await stateOf(silent.url)) === "unhealthy");
    silent.kill("SIGCONT");
    expect((await Promise.all(asked)).flat()).toEqual(times(20, 200));
  }
});

test.concurrent("an answer that has begun waits for a stopped engine, and goes on when it does", async () => {
  await using cluster = await startTwo(QUICK_PROBES);
  const { silent, other, proxy, stateOf } = cluster;
  other.kill("SIGSTOP");
  await until("the other is out", async () => (await stateOf(other.url)) === "unhealthy");
  const exchange = rawPost(proxy.port, "/v1/completions", LONG);
  await until("the answer has begun", () => exchange.receivedBytes > 0);
  silent.kill("SIGSTOP");
  await until("it is out, too", async () => (await stateOf(silent.url)) === "unhealthy");
  expect((await proxy.status())[silent.url]?.unfinished).toBe(1);
  silent.kill("SIGCONT");
  await silent.post("/debug/set", { pace: 100 });
  const answer = await exchange.ended;
  expect(answer.complete).toBe(true);
  expect(answer.body.toString()).toEndWith("data: [DONE]\n\n");
});

test.concurrent("a request whose connection does not stand within the limit goes elsewhere", async () => {
  await using cluster = await startTwo(["--health-interval", "600", "--connect-timeout", "0.4"]);
  const { silent, other, proxy, stateOf } = cluster;
  silent.kill("SIGSTOP");
  const empty = await fillAcceptQueue(silent.port);
  const statuses = await Promise.all(times(20, null).map(() => askInTurn(proxy, 1)));
  expect(statuses.flat()).toEqual(times(20, 200));
  expect((await other.state()).completedRequests).toBe(20);
  await until("it is out", async () => (await stateOf(silent.url)) === "unhealthy");
  expect((await proxy.status())[silent.url]?.last_error).toMatch(/connect|no answer/);
  empty();
});

test.concurrent("a long prefill is not a connection that does not stand", async () => {
  await using cluster = await startTwo(["--connect-timeout", "0.5"]);
  const { silent, other, proxy } = cluster;
  for (const engine of [silent, other]) {
    await engine.setFaults([{ fault: { kind: "slow", firstByteMs: 1_000 } }]);
  }
  expect(await askInTurn(proxy, 1)).toEqual([200]);
  const seen = await Promise.all([silent.state(), other.state()]);
  expect(seen.reduce((sum, { totalRequests }) => sum + totalRequests, 0)).toBe(1);
});

test.concurrent("an engine that dies with requests in its hands costs none that had no byte yet", async () => {
  await using cluster = await startTwo(["--health-interval", "600"]);
  const { silent, proxy, stateOf } = cluster;
  await silent.setFaults([{ fault: { kind: "hang", at: "before-headers" } }]);
  const statuses = times(20, null).map(() => askInTurn(proxy, 1));
  await until("some of them hang", async () => (await silent.state()).openRequests >= 1);
  silent.kill("SIGKILL");
  expect((await Promise.all(statuses)).flat()).toEqual(times(20, 200));
  expect(await stateOf(silent.url)).toBe("unhealthy");
});
