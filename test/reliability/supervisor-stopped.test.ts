/** A supervisor whose process is stopped: what its workers answer meanwhile. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { times } from "../support/ask.ts";
import { startGateEngine } from "../support/gate-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

test("administration is refused with what to do, requests go on, and all is well when it goes on", async () => {
  const engine = startGateEngine();
  await using proxy = await startProxy(["--workers", "2", "--node", engine.url]);
  await untilHealthy(proxy);
  const post = (path: string, body: object) =>
    fetch(`${proxy.url}${path}`, { method: "POST", body: JSON.stringify(body) });
  const add = (url: string) => post("/nodes/add", { url, status: { models: ["m"] } });

  proxy.process.kill("SIGSTOP");
  const refused = await Promise.all([
    fetch(`${proxy.url}/nodes/status`),
    fetch(`${proxy.url}/metrics`),
    fetch(`${proxy.url}/debug/live`),
    add("http://127.0.0.1:9"),
  ]);
  expect(refused.map(({ status }) => status)).toEqual([503, 503, 503, 503]);
  const said = await Promise.all(refused.map((answer) => answer.text()));
  for (const text of [said[0], said[1], said[3]]) {
    expect(text).toContain(`The supervisor (process ${proxy.process.pid})`);
    expect(text).toContain("kill -CONT");
  }
  expect(said[3]).toContain("When it goes on, it does what this asked.");

  const later = await add("http://127.0.0.1:13");
  expect([later.status, await later.text()]).toEqual([
    503,
    expect.stringContaining("Nothing was changed."),
  ]);

  const asked = times(4, null).map(() => post("/v1/completions", { model: "tiny", prompt: "x" }));
  await until("the engine has them", () => engine.waiting === 4);
  engine.release(4);
  expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(times(4, 200));
  expect((await post("/v1/completions", { model: "unknown", prompt: "x" })).status).toBe(404);

  proxy.process.kill("SIGCONT");
  await until("it answers, and has done what it was asked", async () => {
    const answer = await fetch(`${proxy.url}/nodes/status`);
    if (answer.status !== 200) return false;
    const known = await answer.text();
    return known.includes("http://127.0.0.1:9") && !known.includes("http://127.0.0.1:13");
  });
  expect((await add("http://127.0.0.1:11")).status).toBe(200);
  await engine.stop();
});
