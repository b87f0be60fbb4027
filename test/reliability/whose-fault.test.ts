/** What goes wrong in the proxy's own house is never charged to an engine. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, askInTurn, times } from "../support/ask.ts";
import { good, startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

test("low on open files, it refuses new requests by that name, leaves those that run alone, and every node in", async () => {
  const engines = times(2, null).map(() => startOddEngine());
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  await using proxy = await startProxy([...nodes, "--health-interval", "0.2"], {
    command: ["bash", "-c", 'ulimit -n 90; exec "$0" "$@"', process.execPath, "src/main.ts"],
  });
  await untilHealthy(proxy, 2);
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  for (const engine of engines) engine.answer = () => released.then(good);
  const early = times(6, null).map(() => ask(proxy).then(({ status }) => status));
  const running = async () =>
    Object.values(await proxy.status()).reduce((sum, { unfinished }) => sum + unfinished, 0);
  await until("they run", async () => (await running()) === 6);
  const late = times(100, null).map(() =>
    ask(proxy, {}, { signal: AbortSignal.timeout(20_000) }).then(
      async (answer) =>
        `${answer.status} ${answer.headers.get("connection")} ${await answer.text()}`,
      () => "no connection",
    ),
  );
  // While the others run: by the first that fitted, for whose engine's connection there was no file left, or by name.
  expect(await Promise.race(late)).toContain("open file");
  release();
  expect(await Promise.all(early)).toEqual(times(6, 200));
  const refused = (await Promise.all(late)).filter((one) => !/^200|^no connection/.test(one));
  const byName = refused.filter((one) => /^503 close .*few open files left/.test(one));
  expect(byName.length).toBeGreaterThan(20);
  for (const one of refused) expect(one).toContain("open file");
  for (const engine of engines) engine.answer = good;
  await until("it serves again", async () => {
    const statuses = await askInTurn(proxy, 10).catch(() => [0]);
    return statuses.every((status) => status === 200);
  });
  expect(proxy.log()).not.toContain("node is out");
  const said = await until("it has said so", () => proxy.log().match(/few open files are left/g));
  expect(said).toHaveLength(1);
  for (const engine of engines) await engine.stop();
});

test("while the proxy stands still nobody is out for it", async () => {
  const engines = times(2, null).map(() => startOddEngine());
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const flags = ["--health-interval", "0.1", "--health-timeout", "1"];
  await using proxy = await startProxy([...nodes, ...flags]);
  await untilHealthy(proxy, 2);
  const asked = times(10, null).map(() => ask(proxy).then((answer) => answer.status));
  proxy.process.kill("SIGSTOP");
  await Bun.sleep(1_500);
  proxy.process.kill("SIGCONT");
  expect(await Promise.all(asked)).toEqual(times(10, 200));
  expect(proxy.log()).not.toContain("node is out");
  for (const engine of engines) await engine.stop();
});
