/** Which failures another node makes good, how often an engine is asked, and what the client gets otherwise. */
import { afterAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { RAW_ANSWERS } from "../support/raw-answers.ts";
import { httpAnswer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

type Way = number | "reset" | "hang" | "half a head" | "a short body";

/** How the next requests go, whichever engines they reach; then all go well. */
const plan: Way[] = [];
/** Enough that those which a case ejects are not missed by the next. */
const engines = times(40, null).map(() =>
  startRawServer({ script: ({ method }) => steps(method === "POST" ? plan.shift() : undefined) }),
);
const proxies = new Map<string, ProxyProcess>();

beforeEach(() => {
  plan.length = 0;
});

afterAll(async () => {
  for (const proxy of proxies.values()) await proxy.end("SIGKILL");
  for (const engine of engines) engine.stop();
});

function steps(way: Way | undefined): readonly RawStep[] {
  // No connection is used twice: what is lost on a used one says nothing, and is sent again.
  const close = ["connection: close"];
  if (way === undefined) return [{ send: httpAnswer('{"choices":[{}]}', close) }];
  if (typeof way === "number")
    return [{ send: httpAnswer(`{"status":${way}}`, close, `${way} X`) }];
  if (way === "hang") return RAW_ANSWERS.silence;
  if (way === "reset") return RAW_ANSWERS.reset;
  return way === "half a head" ? RAW_ANSWERS.halfHead : RAW_ANSWERS.shortBody;
}

async function proxyWith(flags: readonly string[]): Promise<ProxyProcess> {
  const key = flags.join(" ");
  const known = proxies.get(key);
  if (known !== undefined) return known;
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const proxy = await startProxy([...nodes, "--health-interval", "600", ...flags]);
  proxies.set(key, proxy);
  await untilHealthy(proxy, engines.length);
  return proxy;
}

/**
 * All nodes anew: whom peers have agreed with when they refused is believed for a while, and the next case may
 * come to one of these first.
 */
async function forgetNodes(proxy: ProxyProcess): Promise<void> {
  for (const action of ["remove", "add"]) {
    for (const { url } of engines) {
      const call = { method: "POST", body: JSON.stringify({ url }) };
      expect((await fetch(`${proxy.url}/nodes/${action}`, call)).status).toBe(200);
    }
  }
  await untilHealthy(proxy, engines.length);
}

function requestCounts(): number[] {
  return engines.map(({ requests }) => requests.filter(({ method }) => method === "POST").length);
}

/** What the client gets when requests go `ways`, and how many of them engines saw. */
async function outcome(flags: readonly string[], ways: readonly Way[]) {
  const proxy = await proxyWith(flags);
  plan.push(...ways);
  const before = requestCounts();
  const answer = await ask(proxy);
  await answer.bytes();
  const perEngine = requestCounts().map((count, i) => count - (before[i] ?? 0));
  // Only ever to another node.
  expect(Math.max(...perEngine)).toBe(1);
  return { status: answer.status, attempts: perEngine.reduce((sum, count) => sum + count) };
}

const CASES: readonly (readonly [ways: readonly Way[], status: number, attempts: number])[] = [
  [[], 200, 1],
  // Lost after it was sent: sent again once at most, since it may be what kills engines.
  [["reset"], 200, 2],
  [["half a head"], 200, 2],
  [["a short body"], 200, 2],
  [["reset", "reset"], 502, 2],
  // Full or asleep: up to two others.
  [[503], 200, 2],
  [[429, 503], 200, 3],
  [[503, 429, 503], 503, 3],
  [[429, 429, 429], 429, 3],
  [[503, "reset"], 200, 3],
  // Failed: from the budget, a 500 once, since it may be the prompt's fault.
  [[500], 200, 2],
  [[500, 500], 500, 2],
  [[502], 200, 2],
  [[504, 502], 200, 3],
  [[502, 504, 502], 502, 3],
  // Refused by what the engine was started with: one other is asked.
  [[401], 200, 2],
  [[403], 200, 2],
  [[404], 200, 2],
  [[404, 404], 404, 2],
  // What speaks of the request itself is the client's to read.
  [[400], 200, 2],
  [[400, 400], 400, 2],
  [[408], 408, 1],
  [[422], 200, 2],
  [[422, 422], 422, 2],
  [[501], 501, 1],
  [[505], 505, 1],
  // A server in front of one engine alone may say so, too.
  [[302], 200, 2],
  [[302, 302], 302, 2],
  [[405], 200, 2],
  [[413], 200, 2],
  [[413, 413], 413, 2],
];

for (const [ways, status, attempts] of CASES) {
  test(`${ways.join(", ") || "no failure"}: ${attempts} attempts, ${status}`, async () => {
    const proxy = await proxyWith([]);
    if (ways.some((way) => typeof way === "number" && way < 500)) await forgetNodes(proxy);
    // The budget is a fifth of these and three more, enough for a case.
    await Promise.all(times(10, null).map(() => ask(proxy).then((answer) => answer.bytes())));
    expect(await outcome([], ways)).toEqual({ status, attempts });
  });
}

test("a time-out is tried elsewhere, from the budget", async () => {
  const flags = ["--first-byte-timeout", "1.5"];
  expect(await outcome(flags, ["hang"])).toEqual({ status: 200, attempts: 2 });
  expect(await outcome(flags, ["hang", "hang", "hang"])).toEqual({ status: 504, attempts: 3 });
});

test("the total time limit is the whole request's: nothing is tried after it", async () => {
  expect(await outcome(["--timeout", "1.5"], ["hang"])).toEqual({ status: 504, attempts: 1 });
});

test("--no-retry: one attempt, whatever happens", async () => {
  for (const [way, status] of [
    ["reset", 502],
    [503, 503],
    [429, 429],
    [500, 500],
    [502, 502],
  ] as const) {
    expect(await outcome(["--no-retry"], [way])).toEqual({ status, attempts: 1 });
  }
});

test("--no-retry-sent: what an engine may have begun is not sent again, all else is", async () => {
  const flags = ["--no-retry-sent", "--first-byte-timeout", "1.5"];
  expect(await outcome(flags, ["reset"])).toEqual({ status: 502, attempts: 1 });
  expect(await outcome(flags, ["hang"])).toEqual({ status: 504, attempts: 1 });
  expect(await outcome(flags, [503])).toEqual({ status: 200, attempts: 2 });
  expect(await outcome(flags, [500])).toEqual({ status: 200, attempts: 2 });
});

test("a failure that has nowhere else to go takes nothing of the budget", async () => {
  const asked = { failing: 0, other: 0 };
  const answer = (status: string) => [{ send: httpAnswer("{}", [], status) }];
  const failing = startRawServer({
    script({ method }) {
      if (method === "GET") return answer("404 X");
      asked.failing += 1;
      return answer(asked.failing % 2 === 1 ? "500 X" : "200 OK");
    },
  });
  const other = startRawServer({
    script({ method }) {
      if (method === "GET") return answer("404 X");
      asked.other += 1;
      return answer("500 X");
    },
  });
  await using proxy = await startProxy(["--node", failing.url, "--node", other.url]);
  await untilHealthy(proxy, 2);
  const administer = (verb: string) =>
    fetch(`${proxy.url}/nodes/${verb}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: other.url }),
    });
  await administer("drain");
  for (let i = 0; i < 12; i += 1) expect((await ask(proxy)).status).toBe(i % 2 === 0 ? 500 : 200);
  await administer("add");
  await untilHealthy(proxy, 2);
  const before = asked.failing + asked.other;
  await ask(proxy);
  expect(asked.failing + asked.other).toBe(before + 2);
  for (const engine of [failing, other]) engine.stop();
});
