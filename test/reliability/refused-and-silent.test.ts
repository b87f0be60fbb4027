/** A refusal in hand, and a peer that says nothing at all to the same, or has no place for it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { silence, startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

test("a lone refused one does not wait for a peer that is late by itself, nor is another asked, though whole answers may just be long", async () => {
  const engines = times(3, null).map(() => startOddEngine());
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  await using proxy = await startProxy([...nodes, "--strategy", "round_robin", "--expose-node"]);
  await untilHealthy(proxy, 3);
  for (let nth = 0; nth < 30; nth += 1) await (await ask(proxy)).bytes();
  let asked = 0;
  for (const engine of engines) {
    engine.answer = () => {
      asked += 1;
      return asked === 1 ? new Response("no", { status: 400 }) : silence();
    };
  }
  const answer = await ask(proxy);
  expect(await answer.text()).toBe("no");
  expect(answer.status).toBe(400);
  expect(answer.headers.get("x-lmproxy-attempts")).toBe("2");
  expect(asked).toBe(2);
  const states = Object.values(await proxy.status()).map(({ state }) => state);
  expect(states).toEqual(times(3, "healthy"));
  await until("its request is gone", () => engines.every(({ open }) => open === 0));
  await Promise.all(engines.map((engine) => engine.stop()));
});

test("a refused one whose peer is busy gets its refusal, and does not wait for a place on a third that is full", async () => {
  const engines = times(3, null).map(() => startOddEngine());
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const limits = ["--max-concurrency-per-node", "1", "--queue-timeout", "5"];
  await using proxy = await startProxy([...nodes, ...limits, "--strategy", "round_robin"]);
  await untilHealthy(proxy, 3);
  for (let nth = 0; nth < 30; nth += 1) await (await ask(proxy)).bytes();
  let asked = 0;
  for (const engine of engines) {
    engine.answer = ({ headers }) => {
      if (headers.has("X-Held")) return silence();
      asked += 1;
      return new Response(`no ${asked}`, { status: asked === 1 ? 400 : 503 });
    };
  }
  const leaving = new AbortController();
  const held = ask(proxy, {}, { headers: { "X-Held": "1" }, signal: leaving.signal });
  await until("one is full", () => engines.some(({ open }) => open === 1));
  const answer = await ask(proxy);
  expect(await answer.text()).toBe("no 1");
  expect(answer.status).toBe(400);
  expect(asked).toBe(2);
  expect(engines.filter(({ open }) => open === 1)).toHaveLength(1);
  leaving.abort();
  await held.catch(() => {});
  await until("nobody is asked any more", () => engines.every(({ open }) => open === 0));
  await Promise.all(engines.map((engine) => engine.stop()));
});
