/** A prefill engine that takes requests and answers none must not hold what clients have left behind. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { scanRequestHead } from "../../src/core/body/request-head.ts";
import { Exchanges } from "../../src/core/exchange.ts";
import { NOTHING_ASKED } from "../../src/core/strategies/strategy.ts";
import { prefill } from "../../src/distserve/prefill.ts";
import { SessionNames } from "../../src/distserve/session-names.ts";
import { SessionLedger } from "../../src/distserve/sessions.ts";
import { Cluster } from "../../src/lab/cluster.ts";
import { Attempt } from "../../src/upstream/attempt.ts";
import { type OddEngine, silence, startOddEngine } from "../support/odd-engine.ts";
import { until } from "../support/until.ts";

let engine: OddEngine;
let cluster: Cluster;
let freed: string[];

beforeEach(() => {
  engine = startOddEngine({ answer: silence });
  cluster = new Cluster();
  freed = [];
});

afterEach(() => engine.stop());

/** A prefill on its way to the engine, over real sockets and in virtual time, and its client. */
function begin(bodyBytes: number) {
  const { time, registry } = cluster;
  const { url } = engine;
  const node = registry.membership.register(url, { models: ["m"], role: "Prefill", speed: null });
  registry.learning.probed(node, { kind: "ok" }, false);
  const { after, now } = time;
  const sessions = new SessionLedger({
    after,
    free: (_node, session) => {
      freed.push(session);
      return Promise.resolve("freed");
    },
    onReplaced: () => {},
    onLeft: () => {},
    isRegistered: () => true,
    warn: () => {},
  });
  const body = new TextEncoder().encode(JSON.stringify({ model: "m" }).padEnd(bodyBytes));
  const target = "/v1/chat/completions";
  const exchanges = new Exchanges({ now, report: () => {} });
  const exchange = exchanges.begin("id", new Request(url), target);
  const client = exchange.signal;
  const request = {
    exchange,
    target,
    headers: new Headers(),
    body,
    model: "m",
    head: scanRequestHead(body),
    asked: { ...NOTHING_ASKED, client: "c" },
    method: "POST" as const,
    kept: null,
  };
  const lease = cluster.lease({ role: "Prefill" });
  const clock = { now, wallMs: now, after, every: () => () => {}, soon: setImmediate };
  const attempt = new Attempt(lease);
  const learnt = { sessions, names: new SessionNames() };
  const retryRules = { retry: true, retrySent: true };
  const result = prefill(attempt, request, { ...clock, fetch, retryRules }, learnt);
  return { node, attempt, client, result, sessions };
}

test.each([
  ["a short prompt", 1_000, 61_000],
  ["a long one", 500_000, 211_000],
  ["the longest", 8 * 1024 * 1024, 601_000],
])("%s whose client left is broken off in the end", async (_, bytes, ms) => {
  const { node, client, result } = begin(bytes);
  await until("the engine has it", () => engine.open === 1);
  // As long as its client is there, nothing ends it.
  cluster.time.advance(3_600_000);
  client.abort("left");
  cluster.time.advance(ms - 2_000);
  expect([node.inFlight, engine.open]).toEqual([1, 1]);
  cluster.time.advance(2_000);
  expect(await result).toEqual({ kind: "stopped", why: "client_gone" });
  expect(node.inFlight).toBe(0);
  await until("the engine is free", () => engine.open === 0);
  expect(cluster.time.pending).toBe(0);
});

test("one that is answered after all names its session", async () => {
  const answer = Promise.withResolvers<Response>();
  engine.answer = () => answer.promise;
  const { client, result, node, sessions } = begin(1_000);
  await until("the engine has it", () => engine.open === 1);
  client.abort("left");
  cluster.time.advance(50_000);
  answer.resolve(Response.json({ id: "7", cache_block_ids: [1], remote_token_ids: [1] }));
  const prefilled = await result;
  expect(prefilled).toMatchObject({ kind: "prefilled", blockIds: [1] });
  expect([node.inFlight, sessions.count(node), cluster.time.pending]).toEqual([0, 1, 0]);
});
