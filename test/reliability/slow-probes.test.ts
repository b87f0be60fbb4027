/** Engines whose probes are slow, or say 503 while they finish what they have: their requests stay. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { good, startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { httpAnswer, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

test("one lost connection moves nothing off an engine whose /health always takes a second", async () => {
  let lost = 0;
  const slow = startRawServer({
    script: ({ head, body }) => {
      if (Buffer.from(body).includes("poison")) {
        lost += 1;
        return [{ reset: true }];
      }
      // A prefill that goes on and on.
      return head.startsWith("POST") ? [] : [{ send: httpAnswer("", [], "404 Not Found") }];
    },
    probes: { "/health": [{ waitMs: 1_020 }, { send: httpAnswer("") }] },
  });
  const other = startOddEngine();
  const nodes = ["--node", slow.url, "--node", other.url, "--strategy", "random"];
  await using proxy = await startProxy([...nodes, "--health-interval", "600"]);
  await untilHealthy(proxy, 2);
  const posts = () => slow.requests.filter(({ method }) => method === "POST").length;
  const leave = new AbortController();
  const prompt = "x".repeat(500_000);
  const waiting: Promise<unknown>[] = [];
  await until("it has some long ones", () => {
    waiting.push(ask(proxy, { prompt }, { signal: leave.signal }).catch(() => {}));
    return posts() >= 3;
  });
  await until("one is lost", async () => {
    expect((await ask(proxy, { prompt: "poison" })).status).toBe(200);
    return lost > 0;
  });
  await Bun.sleep(2_500);
  expect((await proxy.status())[slow.url]?.unfinished).toBeGreaterThanOrEqual(3);
  leave.abort();
  await Promise.all(waiting);
  slow.stop();
  await other.stop();
});

test("an engine that says 503 to probes while it finishes what it has may do so", async () => {
  const [leaving, other] = [startOddEngine(), startOddEngine()];
  const nodes = ["--node", leaving.url, "--node", other.url, "--strategy", "random"];
  await using proxy = await startProxy([...nodes, "--health-interval", "0.1"]);
  await untilHealthy(proxy, 2);
  const finish: (() => void)[] = [];
  for (const engine of [leaving, other]) {
    engine.answer = () => new Promise((resolve) => finish.push(() => resolve(good())));
  }
  const prompt = "x".repeat(100_000);
  const answers = times(12, null).map(() => ask(proxy, { prompt }).then(({ status }) => status));
  await until("both have some", () => leaving.requests + other.requests === 12 && leaving.open > 0);
  leaving.health = () => new Response("", { status: 503 });
  await until("it is out", async () => (await proxy.status())[leaving.url]?.state === "unhealthy");
  const probes = leaving.probes;
  await until("it was probed again and again", () => leaving.probes > probes + 5);
  for (const answer of finish) answer();
  expect(await Promise.all(answers)).toEqual(times(12, 200));
  expect(leaving.requests + other.requests).toBe(12);
  await Promise.all([leaving.stop(), other.stop()]);
});
