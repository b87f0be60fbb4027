import { describe, expect, test } from "bun:test";
import type { Release } from "../../../src/sim/server/release.ts";
import { connectPair, objectOf, type Pair, startPair } from "./pair.ts";
import { engineStarter, HI, post, until } from "./running.ts";

const start = engineStarter();
const CHAT = "/v1/chat/completions";
const PROMPT = "p".repeat(64 * 4 * 3);
const PREFILL_FIELDS = { max_tokens: 1, with_cache: true, preserve_cache: true };

/** Runs a prefill and returns the migration request that its answer leads to. */
async function prefillOnce({ prefill }: Pair, path = CHAT) {
  const input = path === CHAT ? { messages: PROMPT } : { prompt: PROMPT };
  const answer = await objectOf(await post(prefill.url + path, { ...input, ...PREFILL_FIELDS }));
  const { remote_token_ids: tokens, cache_block_ids: blocks, id } = answer;
  if (!Array.isArray(tokens) || !Array.isArray(blocks)) throw new Error("no cache in the answer");
  return {
    protocol: 2,
    remote_engine_id: prefill.url,
    remote_session_id: Number(id),
    remote_token_id: tokens.at(-1),
    remote_block_ids: blocks,
    is_dummy_prefill: false,
  };
}

function migrate({ decode }: Pair, migration_request: unknown, more: object = {}) {
  return post(decode.url + CHAT, { messages: PROMPT, migration_request, ...more });
}

describe("a connected pair", () => {
  test.each([CHAT, "/v1/completions"])(
    "hands a prefill of %s over, and nothing is kept",
    async (path) => {
      const pair = await startPair(start);
      await connectPair(pair);
      const migration = await prefillOnce(pair, path);
      expect(migration.remote_session_id).toBe(0);
      expect(migration.remote_block_ids.length).toBeGreaterThanOrEqual(3);
      const preservedBlocks = migration.remote_block_ids.length;
      expect(pair.prefill.state()).toMatchObject({ preservedSessions: 1, preservedBlocks });
      const body = { messages: PROMPT, prompt: PROMPT, migration_request: migration };
      const answer = await objectOf(await post(pair.decode.url + path, body));
      expect(answer.choices).toMatchObject([{ finish_reason: "stop" }]);
      expect(pair.prefill.state()).toMatchObject({ preservedSessions: 0, usedBlocks: 0 });
      expect(pair.decode.state()).toMatchObject({ usedBlocks: 0, completedRequests: 1 });
    },
  );

  test("has freed the prefill's blocks by the first byte of a stream", async () => {
    const pair = await startPair(start, { timeScale: 1 });
    await connectPair(pair);
    const migration = await prefillOnce(pair);
    const answer = await migrate(pair, migration, { stream: true });
    const reader = answer.body?.getReader();
    await reader?.read();
    expect(pair.prefill.state().preservedSessions).toBe(0);
    await reader?.cancel();
  });

  test("speaks over connections of their own: one that stands may be closed just as it is used", async () => {
    const pair = await startPair(start);
    await connectPair(pair);
    const migrations = [await prefillOnce(pair), await prefillOnce(pair)];
    const before = pair.prefill.state().connections;
    for (const migration of migrations) expect((await migrate(pair, migration)).status).toBe(200);
    // It asks for a session, and says when it has it.
    expect(pair.prefill.state().connections).toBe(before + 2 * migrations.length);
  });

  test("keeps what the client of the decode engine left before it was fetched", async () => {
    const pair = await startPair(start, { timeScale: 1 });
    await connectPair(pair);
    const migration = await prefillOnce(pair);
    const gone = new AbortController();
    const slow = { fault: { kind: "hang", at: "before-headers" } } as const;
    pair.prefill.setFaults([{ ...slow, path: "/sim/*" }]);
    const body = { messages: PROMPT, migration_request: migration };
    const answer = post(pair.decode.url + CHAT, body, { signal: gone.signal });
    await until(() => pair.prefill.state().requestsByPath["/sim/session"] === 1);
    gone.abort();
    await expect(answer).rejects.toThrow();
    expect(pair.prefill.state().preservedSessions).toBe(1);
  });

  test("is forgotten by whoever drops it", async () => {
    const pair = await startPair(start);
    await connectPair(pair);
    const migration = await prefillOnce(pair);
    const { prefill, decode } = pair;
    const drop = { engine_id: prefill.url, remote_engine_id: decode.url };
    const dropped = await post(`${prefill.url}/distserve/p2p_drop_connect`, drop);
    expect(await dropped.json()).toEqual({ success: true });
    expect(prefill.state().connectedPeers).toEqual([]);
    expect((await migrate(pair, migration)).status).toBe(400);
    expect(prefill.state().preservedSessions).toBe(1);
  });
});

test("a prefill whose client leaves runs on and keeps its blocks", async () => {
  const prefill = await start({ role: "Prefill", timeScale: 20, release: "0.11" });
  const gone = new AbortController();
  const body = { messages: PROMPT, ...PREFILL_FIELDS };
  const answer = post(prefill.url + CHAT, body, { signal: gone.signal });
  await until(() => prefill.state().running === 1);
  gone.abort();
  await expect(answer).rejects.toThrow();
  await until(() => prefill.state().preservedSessions === 1);
  expect(prefill.state()).toMatchObject({ openRequests: 0, cancelledRequests: 1 });
});

describe("free_cache", () => {
  test("frees a session and says SUCCESS, for one it does not know too", async () => {
    const pair = await startPair(start);
    const { remote_session_id } = await prefillOnce(pair);
    for (const session of [remote_session_id, remote_session_id, 99, -1]) {
      const body = { remote_engine_id: pair.prefill.url, remote_session_id: session };
      const answer = await post(`${pair.prefill.url}/distserve/free_cache`, body);
      expect(await answer.json()).toEqual({ status: "SUCCESS" });
      expect(pair.prefill.state().preservedSessions).toBe(0);
    }
  });

  test("refuses a number that is a string", async () => {
    const { prefill } = await startPair(start);
    const body = { remote_engine_id: prefill.url, remote_session_id: "0" };
    expect((await post(`${prefill.url}/distserve/free_cache`, body)).status).toBe(422);
  });
});

test("a leak is a number in /metrics", async () => {
  const pair = await startPair(start);
  await prefillOnce(pair);
  await prefillOnce(pair);
  const text = await (await fetch(`${pair.prefill.url}/metrics`)).text();
  expect(text).toContain('sim:preserved_sessions{engine="0",model_name="tiny"} 2.0');
});

describe("a migration is refused", () => {
  const changes: readonly (readonly [string, object])[] = [
    ["of an unknown session", { remote_session_id: 7 }],
    ["with fewer blocks", { remote_block_ids: [0] }],
    ["with other blocks", { remote_block_ids: [900, 901, 902, 903] }],
    ["with another token", { remote_token_id: 5 }],
    ["from an engine it is not connected with", { remote_engine_id: "http://127.0.0.1:1" }],
    ["with a session that is a string", { remote_session_id: "0" }],
    ["with a protocol that is a name", { protocol: "RDMA" }],
    ["without a token", { remote_token_id: undefined }],
  ];

  test.each(changes)("%s", async (_, change) => {
    const pair = await startPair(start);
    await connectPair(pair);
    const migration = await prefillOnce(pair);
    expect((await migrate(pair, { ...migration, ...change })).status).toBe(400);
    expect(pair.prefill.state().preservedSessions).toBe(1);
    expect((await migrate(pair, migration)).status).toBe(200);
  });

  test("for a pair that is not connected, and the second time", async () => {
    const pair = await startPair(start);
    const migration = await prefillOnce(pair);
    expect((await migrate(pair, migration)).status).toBe(400);
    await connectPair(pair);
    expect((await migrate(pair, migration)).status).toBe(200);
    expect((await migrate(pair, migration)).status).toBe(400);
  });

  test("by engines of another role, and by newer ones without the proxy's header", async () => {
    const hybrid = await start({ release: "0.11" });
    for (const fields of [
      { migration_request: {} },
      { with_cache: true },
      { preserve_cache: true },
    ]) {
      expect((await post(hybrid.url + CHAT, { messages: "x", ...fields })).status).toBe(400);
    }
    const { prefill } = await startPair(start, { needsProxyHeader: true });
    const body = { messages: "x", ...PREFILL_FIELDS };
    expect((await post(prefill.url + CHAT, body)).status).toBe(400);
    const headers = { "x-lmdeploy-distserve-proxy": "1" };
    expect((await post(prefill.url + CHAT, body, { headers })).status).toBe(200);
  });
});

test("a dummy prefill needs no connection", async () => {
  const pair = await startPair(start);
  const dummy = {
    protocol: 2,
    remote_engine_id: "dummy:dummy",
    remote_session_id: 0,
    remote_token_id: 0,
    remote_block_ids: [],
    is_dummy_prefill: true,
  };
  expect((await migrate(pair, dummy)).status).toBe(200);
});

test("how the session is named is the release's own affair", async () => {
  const ids = async (release: Release, path: string, more: object = {}) => {
    const engine = await start({ role: "Prefill", release });
    const body = { messages: HI, prompt: "x", ...PREFILL_FIELDS, ...more };
    const headers = { "x-lmdeploy-distserve-proxy": "1" };
    const answer = await objectOf(await post(engine.url + path, body, { headers }));
    return [String(answer.id).replace(/-.{22}$/, "-…"), answer.cache_session_id];
  };
  const completions = "/v1/completions";
  expect(await ids("0.11", CHAT)).toEqual(["0", undefined]);
  expect(await ids("0.11", completions)).toEqual(["0", undefined]);
  expect(await ids("0.14", CHAT)).toEqual(["0", undefined]);
  expect(await ids("0.14", completions)).toEqual(["-1", undefined]);
  expect(await ids("0.18", CHAT)).toEqual(["chatcmpl-…", undefined]);
  expect(await ids("0.18", completions, { session_id: 5 })).toEqual(["5", undefined]);
  expect(await ids("next", CHAT)).toEqual(["chatcmpl-…", 0]);
  expect(await ids("next", completions)).toEqual(["-1", 0]);
});
