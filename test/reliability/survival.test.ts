/** What does not end the process. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { engineStarter } from "../sim/server/running.ts";
import { askInTurn, times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const start = engineStarter();

test("an exception and a promise that nobody caught are logged, and the proxy goes on", async () => {
  const engine = await start();
  const command = [process.execPath, "--preload", "./test/support/surprise.ts", "src/main.ts"];
  await using proxy = await startProxy(["--node", engine.url], { command });
  await untilHealthy(proxy);
  for (const [signal, message] of [
    ["SIGUSR1", "surprise: thrown"],
    ["SIGUSR2", "surprise: rejected"],
  ] as const) {
    proxy.process.kill(signal);
    await until("it is logged", () => proxy.log().includes(message));
    expect(await askInTurn(proxy, 5)).toEqual(times(5, 200));
  }
  const said = () => proxy.log().match(/"msg":"unexpected error; the proxy goes on"/g)?.length;
  await until("each of the three is", () => said() === 3);
  expect(await proxy.end()).toBe(0);
});

test("what goes wrong here when a stream is over costs neither its client nor its engine anything, and is logged", async () => {
  // Slow enough to come piece by piece.
  const engine = await start({ timeScale: 1 });
  const preload = ["--preload", "./test/support/surprise-at-the-end.ts"];
  const command = [process.execPath, ...preload, "src/main.ts"];
  await using proxy = await startProxy(["--node", engine.url], { command });
  await untilHealthy(proxy);
  const answer = await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "tiny", prompt: "Once", stream: true, max_tokens: 40 }),
  });
  expect(await answer.text()).toEndWith("data: [DONE]\n\n");
  await until("it is logged", () => proxy.log().includes("surprise: at the end"));
  expect(proxy.log()).not.toContain('"outcome":"broken"');
  const nodes = Object.values(await proxy.status());
  expect(nodes).toMatchObject([{ unfinished: 0, state: "healthy" }]);
});

test("whoever reads the log may go away", async () => {
  const engine = await start();
  const child = Bun.spawn({
    cmd: [process.execPath, "src/main.ts", "serve", "--host", "127.0.0.1", "--port", "0"],
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  await child.stderr.cancel();
  const reader = child.stdout.getReader();
  const line = new TextDecoder().decode((await reader.read()).value);
  const url = /listens on (\S+)/.exec(line)?.[1];
  const add = (node: string) =>
    fetch(`${url}/nodes/add`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: node, models: ["tiny"] }),
    });
  for (let port = 1_000; port < 1_020; port += 1) {
    expect((await add(`http://127.0.0.1:${port}`)).status).toBe(200);
  }
  expect((await add(engine.url)).status).toBe(200);
  await until("it is healthy", async () => (await fetch(`${url}/ready`)).status === 200);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});
