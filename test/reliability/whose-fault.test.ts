/** What goes wrong in the proxy's own house is never charged to an engine. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, askInTurn, times } from "../support/ask.ts";
import { good, startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

test("without open files left, requests fail by that name, and every node stays in", async () => {
  const engines = times(2, null).map(() => startOddEngine());
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  await using proxy = await startProxy([...nodes, "--health-interval", "0.2"], {
    command: ["bash", "-c", 'ulimit -n 90; exec "$0" "$@"', process.execPath, "src/main.ts"],
  });
  await untilHealthy(proxy, 2);
  for (const engine of engines) engine.answer = () => Bun.sleep(1_500).then(good);
  const answers = await Promise.all(
    times(150, null).map(() =>
      ask(proxy, {}, { signal: AbortSignal.timeout(20_000) }).then(
        async (answer) => `${answer.status} ${await answer.text()}`,
        () => "no connection",
      ),
    ),
  );
  const failed = answers.filter(
    (answer) => !answer.startsWith("200") && answer !== "no connection",
  );
  expect(failed.length).toBeGreaterThan(0);
  for (const answer of failed) expect(answer).toContain("open file");
  expect(proxy.log()).not.toContain("node is out");
  for (const engine of engines) engine.answer = good;
  await until("it serves again", async () => {
    const statuses = await askInTurn(proxy, 10).catch(() => [0]);
    return statuses.every((status) => status === 200);
  });
  expect(proxy.log()).not.toContain("node is out");
  for (const engine of engines) await engine.stop();
});

test("while the proxy stands still nobody is out for it", async () => {
  const engines = times(2, null).map(() => startOddEngine());
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const flags = ["--health-interval", "0.1", "--health-timeout", "0.5"];
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
