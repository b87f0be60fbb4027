/** Engines that refuse, or answer with nothing, all that a strategy brings to them, while their peers are asked nothing. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { good, startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const ALIKE = { prompt: "You are an agent. ".repeat(200) };

async function startThree(flags: readonly string[]) {
  const engines = times(3, null).map(() => startOddEngine());
  const proxy = await startProxy([...engines.flatMap(({ url }) => ["--node", url]), ...flags]);
  await untilHealthy(proxy, 3);
  return {
    proxy,
    engines,
    async send(count: number): Promise<number[]> {
      const statuses: number[] = [];
      for (let i = 0; i < count; i += 1) {
        const answer = await ask(proxy, ALIKE, { headers: { "X-Session-ID": "one" } });
        const isEmpty = (await answer.bytes()).length === 0;
        statuses.push(isEmpty ? EMPTY : answer.status);
      }
      return statuses;
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      for (const engine of engines) await engine.stop();
    },
  };
}

/** Stands for the status of an answer that holds nothing. */
const EMPTY = 0;
const KINDS = [
  ["refuses (400)", 400, () => new Response("{}", { status: 400 })],
  ["answers nothing to", EMPTY, () => new Response()],
] as const;
const STRATEGIES = [
  ["--strategy", "prefix_aware"],
  ["--strategy", "consistent_hash"],
  ["--strategy", "random", "--sticky"],
];

for (const [what, status, refusal, flags] of KINDS.flatMap((kind) =>
  STRATEGIES.map((strategy) => [...kind, strategy] as const),
)) {
  test(`one that ${what} all there is, which comes to it alone, is found out (${flags.join(" ")})`, async () => {
    await using cluster = await startThree(flags);
    const { proxy, engines, send } = cluster;
    await send(4);
    const odd = engines.toSorted((a, b) => b.requests - a.requests)[0];
    expect(odd?.requests).toBe(4);
    if (odd === undefined) return;
    odd.answer = refusal;
    const startedMs = performance.now();
    const statuses = await send(120);
    const seconds = (performance.now() - startedMs) / 1_000;
    // Trials are ever further apart.
    const trials = Math.max(0, Math.ceil(Math.log2(seconds)));
    const refused = statuses.filter((one) => one === status).length;
    // Three in a row; of the others half go to peers, by lot, until ten have been answered there.
    expect(refused).toBeLessThanOrEqual(60 + trials);
    expect((await proxy.status())[odd.url]?.last_error).toBe(`${what} what its peers answer`);
    odd.answer = good;
    await until("it is back", async () => {
      await send(10);
      return (await proxy.status())[odd.url]?.state === "healthy";
    });
  });

  test(`where each of them ${what} what comes, nobody is taken out (${flags.join(" ")})`, async () => {
    await using cluster = await startThree(flags);
    const { proxy, engines, send } = cluster;
    for (const engine of engines) engine.answer = refusal;
    expect(new Set(await send(60))).toEqual(new Set([status]));
    expect(proxy.log()).not.toContain("node is out");
    // Nothing is asked twice.
    expect(engines.reduce((sum, { requests }) => sum + requests, 0)).toBe(60);
  });
}
