/** Engines that refuse, or answer with nothing, all that a strategy brings to them, while their peers are asked nothing. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { good, silence, startOddEngine } from "../support/odd-engine.ts";
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
    async send(count: number, session = "one"): Promise<number[]> {
      const statuses: number[] = [];
      for (let i = 0; i < count; i += 1) {
        const answer = await ask(proxy, ALIKE, { headers: { "X-Session-ID": session } });
        const isEmpty = /^$|\[\]|<html>|^OK$|^{"status"/.test(await answer.text());
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

/** As of a gateway that wants somebody to sign in. */
function page(): Response {
  return new Response("<html>Sign in", { headers: { "content-type": "text/html" } });
}

/** An answer without a length, whose text in JSON comes in as many pieces. */
function inChunks(body: object, init: ResponseInit = {}, count = 1): Response {
  async function* pieces() {
    const text = JSON.stringify(body);
    const length = Math.ceil(text.length / count);
    for (let at = 0; at < text.length; at += length) {
      yield text.slice(at, at + length);
      // Said at once it would have a length, and be one piece.
      await Bun.sleep(5);
    }
    yield "\n";
  }
  return new Response(pieces(), { ...init, headers: { "content-type": "application/json" } });
}

const KINDS = [
  ["refuses (400)", "", 400, () => new Response("{}", { status: 400 })],
  ["refuses (422)", "", 422, () => new Response("{}", { status: 422 })],
  ["answers nothing to", "", EMPTY, () => new Response()],
  ["answers nothing to", " (204)", EMPTY, () => new Response(null, { status: 204 })],
  ["answers nothing to", " (201)", EMPTY, () => new Response("", { status: 201 })],
  ["answers nothing to", " (206)", EMPTY, () => new Response("[]", { status: 206 })],
  ["answers nothing to", " (no choice)", EMPTY, () => Response.json({ id: "x", choices: [] })],
  ["answers nothing to", " (no choice, in chunks)", EMPTY, () => inChunks({ choices: [] })],
  ["answers nothing to", " (no choice, in pieces)", EMPTY, () => inChunks({ choices: [] }, {}, 5)],
  ["answers nothing to", " (a page)", EMPTY, page],
  ["answers nothing to", " (another server's)", EMPTY, () => Response.json({ status: "ok" })],
  ["answers nothing to", " (in pieces)", EMPTY, () => inChunks({ status: "ok" }, {}, 5)],
  ["answers nothing to", " (a word)", EMPTY, () => new Response("OK")],
  ["answers nothing to", " (no data)", EMPTY, () => Response.json({ data: [], object: "list" })],
] as const;
const STRATEGIES = [
  ["--strategy", "prefix_aware"],
  ["--strategy", "consistent_hash"],
  ["--strategy", "random", "--sticky"],
];

for (const [what, form, status, refusal, flags] of KINDS.flatMap((kind) =>
  STRATEGIES.map((strategy) => [...kind, strategy] as const),
)) {
  test(`one that ${what} all there is${form}, which comes to it alone, is found out (${flags.join(" ")})`, async () => {
    await using cluster = await startThree(flags);
    const { proxy, engines, send } = cluster;
    await send(4);
    const odd = engines.toSorted((a, b) => b.requests - a.requests)[0];
    expect(odd?.requests).toBe(4);
    if (odd === undefined) return;
    odd.answer = refusal;
    const statuses = await send(120);
    // Each was tried on a peer, which answered; on trial as well. Not a single one that may have been computed.
    const seen = status === EMPTY ? 1 : 0;
    expect(statuses.filter((one) => one === status).length).toBe(seen);
    expect(statuses.filter((one) => one === 200).length).toBe(120 - seen);
    // A session has gone with its answer; it is the next one's refusal that shows it.
    for (let nth = 0; proxy.log().includes("node is out") === false; nth += 1) {
      expect(await send(1, `another ${nth}`)).toEqual([200]);
    }
    expect((await proxy.status())[odd.url]?.last_error).toBe(`${what} what its peers answer`);
    odd.answer = good;
    await until("it is back", async () => {
      await send(1, crypto.randomUUID());
      return (await proxy.status())[odd.url]?.state === "healthy";
    });
  });

  test(`where each of them ${what} what comes${form}, nobody is taken out (${flags.join(" ")})`, async () => {
    await using cluster = await startThree(flags);
    const { proxy, engines, send } = cluster;
    for (const engine of engines) engine.answer = refusal;
    expect(new Set(await send(60))).toEqual(new Set([status]));
    expect(proxy.log()).not.toContain("node is out");
    // Hardly anything is asked twice.
    expect(engines.reduce((sum, { requests }) => sum + requests, 0)).toBeWithin(61, 71);
  });
}

const ONE_CLIENT_MORE = { headers: { "X-Session-ID": "two" } };

test("a client's burst of bad requests takes nobody out, and few of them are tried twice", async () => {
  await using cluster = await startThree(["--strategy", "round_robin"]);
  const { proxy, engines, send } = cluster;
  const refuse = async (request: Request) =>
    request.headers.has("X-Bad") ? new Response("no", { status: 400 }) : good();
  for (const engine of engines) engine.answer = refuse;
  for (let burst = 0; burst < 20; burst += 1) {
    await send(20);
    const before = engines.reduce((sum, { requests }) => sum + requests, 0);
    const headers = { ...ONE_CLIENT_MORE.headers, "X-Bad": "1" };
    const answers = await Promise.all(times(9, null).map(() => ask(proxy, ALIKE, { headers })));
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(times(9, "no"));
    const after = engines.reduce((sum, { requests }) => sum + requests, 0);
    // One of each node at a time.
    expect(after - before).toBeWithin(9, 15);
  }
  expect(proxy.log()).not.toContain("node is out");
});

test.each([0.05, 0.5])(
  "of one that refuses a sort of requests (%d of all) its peer's answers are given, and it stays in for the others",
  async (share) => {
    const [odd, other] = [startOddEngine(), startOddEngine()];
    const nodes = ["--node", odd.url, "--node", other.url];
    await using proxy = await startProxy([...nodes, "--strategy", "round_robin"]);
    await untilHealthy(proxy, 2);
    // As an engine does that was started without a parser for tools.
    odd.answer = ({ headers }) =>
      headers.has("X-Tools") ? new Response("no tools", { status: 400 }) : good();
    const every = Math.round(1 / share);
    const tools = { headers: { "X-Tools": "1" } };
    // Either node gets one of each sort.
    for (const init of [tools, tools, {}, {}]) await (await ask(proxy, ALIKE, init)).bytes();
    for (let turn = 0; turn < 10; turn += 1) {
      // More at once than the retry budget has room for: known to be refused wrongly, they are free.
      const answers = times(80, null).map((_, nth) =>
        // Some of either sort come to either node.
        (nth + Math.floor(nth / every)) % every === 0
          ? ask(proxy, ALIKE, tools)
          : ask(proxy, ALIKE),
      );
      const statuses = (await Promise.all(answers)).map((answer) => answer.status);
      expect(statuses).toEqual(times(80, 200));
    }
    expect((await proxy.status())[odd.url]?.state).toBe("healthy");
    expect(odd.requests).toBeGreaterThan(300);
    await Promise.all([odd.stop(), other.stop()]);
  },
);

/** Two nodes, the first of which refuses what is bad; what the other makes of that is the test's. */
async function startTwo(status: number, other: () => Response | Promise<Response>) {
  const engines = [startOddEngine(), startOddEngine()] as const;
  const nodes = engines.flatMap(({ url }) => ["--node", url]);
  const proxy = await startProxy([...nodes, "--strategy", "round_robin", "--expose-node"]);
  await untilHealthy(proxy, 2);
  // So much is known of both that one which hangs is found late.
  const sendGood = async () => await (await ask(proxy, { stream: true })).bytes();
  for (let nth = 0; nth < 20; nth += 1) await sendGood();
  const [first, second] = engines;
  const refusal = { status, headers: { "X-Said": "first" } };
  const isBad = ({ headers }: Request) => headers.has("X-Bad");
  first.answer = (request) => (isBad(request) ? new Response("no", refusal) : good());
  second.answer = (request) => (isBad(request) ? other() : good());
  return {
    proxy,
    first,
    second,
    /** A bad one that comes to the first. */
    async sendBad(): Promise<Response> {
      for (let before = -1; before !== second.requests - 1; await sendGood()) {
        before = second.requests;
      }
      return await ask(proxy, { stream: true }, { headers: { "X-Bad": "1" } });
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await Promise.all([first.stop(), second.stop()]);
    },
  };
}

const NO_WORD = [
  ["is busy (503)", () => new Response("busy", { status: 503 })],
  ["fails (500)", () => new Response("boom", { status: 500 })],
  ["hangs", silence],
] as const;

test.each(
  NO_WORD.flatMap(([what, other]) => [400, 404].map((status) => ({ what, other, status }))),
)(
  "what is refused ($status) here, and tried on a peer that $what, is answered with the refusal",
  async ({ other, status }) => {
    await using cluster = await startTwo(status, other);
    const { proxy, first, second, sendBad } = cluster;
    let isTried = false;
    for (let nth = 0; nth < 4 && !isTried; nth += 1) {
      const answer = await sendBad();
      expect(await answer.text()).toBe("no");
      expect(answer.status).toBe(status);
      expect(answer.headers.get("x-said")).toBe("first");
      expect(answer.headers.get("x-lmproxy-node")).toBe(first.url);
      isTried = answer.headers.get("x-lmproxy-attempts") === "2";
    }
    expect(isTried).toBe(true);
    await until("no request is open", async () =>
      Object.values(await proxy.status()).every(({ unfinished }) => unfinished === 0),
    );
    expect(second.open).toBe(0);
    expect(proxy.log()).not.toContain("internal_error");
  },
);

test("a refusal without a length is kept, too", async () => {
  await using cluster = await startTwo(400, () => new Response("boom", { status: 500 }));
  const { first, sendBad } = cluster;
  first.answer = ({ headers }) =>
    headers.has("X-Bad") ? inChunks({ no: 1 }, { status: 400 }) : good();
  let attempts = "1";
  for (let nth = 0; nth < 4 && attempts === "1"; nth += 1) {
    const answer = await sendBad();
    expect(await answer.json()).toEqual({ no: 1 });
    expect(answer.status).toBe(400);
    attempts = answer.headers.get("x-lmproxy-attempts") ?? "1";
  }
  expect(attempts).toBe("2");
});

test.each(["--no-retry"])("with %s nothing is tried twice", async (flag) => {
  await using cluster = await startThree(["--strategy", "prefix_aware", flag]);
  const { engines, send } = cluster;
  await send(4);
  const odd = engines.toSorted((a, b) => b.requests - a.requests)[0];
  if (odd === undefined) return;
  odd.answer = () => new Response("{}", { status: 400 });
  expect(new Set(await send(20))).toEqual(new Set([400]));
  expect(engines.reduce((sum, { requests }) => sum + requests, 0)).toBe(24);
});

test("what was refused is not sent on to a node that hung, and may hang still, though nobody asked since; what was lost is", async () => {
  const flags = ["--strategy", "round_robin", "--health-interval", "0.1"];
  const [hung, other] = [startOddEngine(), startOddEngine()];
  await using proxy = await startProxy(["--node", hung.url, "--node", other.url, ...flags]);
  await untilHealthy(proxy, 2);
  const state = async () => (await proxy.status())[hung.url]?.state;
  await Promise.all(times(20, null).map(() => ask(proxy)));
  hung.answer = silence;
  const asked: Promise<Response>[] = [];
  await until("it is out", async () => {
    asked.push(ask(proxy, { stream: true }));
    await Bun.sleep(50);
    return (await state()) === "unhealthy";
  });
  await Promise.all(asked);
  const refusal = Promise.withResolvers<Response>();
  const [before, first] = [hung.requests, other.requests];
  other.answer = (_, nth) => (nth === first ? refusal.promise : silence());
  // Of few requests it gets none on trial.
  const answer = ask(proxy);
  await until("the other has it", () => other.open === 1);
  const lost = ask(proxy);
  await until("it counts as healthy, since nobody asks", async () => (await state()) === "healthy");
  expect(other.open).toBe(2);
  refusal.resolve(new Response("no", { status: 404 }));
  expect((await answer).status).toBe(404);
  expect(hung.requests).toBe(before);
  // This one has no answer to lose.
  hung.answer = good;
  await other.stop();
  expect((await lost).status).toBe(200);
  expect(hung.requests).toBe(before + 1);
  await hung.stop();
});
