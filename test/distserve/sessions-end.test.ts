/** Whatever becomes of a request, no prefill's blocks are left on an engine. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { FaultRule } from "../../src/sim/server/faults.ts";
import { until } from "../support/until.ts";
import { type Cluster, chat, count, only, startCluster, startRole } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
const FREE = "/distserve/free_cache";
const HANG = { kind: "hang", at: "before-headers" } as const;

describe.concurrent("a client that leaves", () => {
  test("during the prefill: it is not cancelled, counts until it is read, and is freed", async () => {
    await using cluster = await startCluster({ engine: { timeScale: 1 } });
    const prefill = only(cluster.prefills);
    prefill.setPace(0);
    const gone = new AbortController();
    const answering = cluster.chat({}, { signal: gone.signal });
    await until("the prefill runs", () => prefill.state().openRequests === 1);
    gone.abort();
    await expect(answering).rejects.toThrow();
    expect((await cluster.proxy.status())[prefill.url]?.unfinished).toBe(1);
    prefill.setPace(1);
    await cluster.quiet();
    expect(prefill.state()).toMatchObject({ completedRequests: 1, cancelledRequests: 0 });
    expect(count(cluster, "prefills", FREE)).toBe(1);
    expect(count(cluster, "decodes", CHAT)).toBe(0);
  });

  test("before the first byte of the decode: cancelled there, and freed", async () => {
    await using cluster = await startCluster();
    const decode = only(cluster.decodes);
    decode.setFaults([{ path: CHAT, fault: HANG }]);
    const gone = new AbortController();
    const answering = cluster.chat({}, { signal: gone.signal });
    await until("the decode runs", () => decode.state().openRequests === 1);
    gone.abort();
    await expect(answering).rejects.toThrow();
    await cluster.quiet();
    expect(decode.state().cancelledRequests).toBe(1);
    expect(count(cluster, "prefills", FREE)).toBe(1);
  });

  test("in mid-stream: cancelled, and freed", async () => {
    await using cluster = await startCluster({ engine: { timeScale: 1 } });
    const gone = new AbortController();
    const answer = await cluster.chat(
      { stream: true, max_tokens: 2_000, ignore_eos: true },
      { signal: gone.signal },
    );
    const reader = answer.body?.getReader();
    await reader?.read();
    gone.abort();
    await cluster.quiet();
    expect(only(cluster.decodes).state().cancelledRequests).toBe(1);
    expect(count(cluster, "prefills", FREE)).toBe(1);
  });
});

async function gc(cluster: Cluster): Promise<unknown> {
  return await (await fetch(`${cluster.proxy.url}/distserve/gc`, { method: "POST" })).json();
}

describe.concurrent("a free that fails", () => {
  async function orphaned(fault: FaultRule["fault"]): Promise<Cluster> {
    const cluster = await startCluster({ flags: ["--no-retry"] });
    only(cluster.prefills).setFaults([{ path: FREE, fault }]);
    only(cluster.decodes).setFaults([{ path: CHAT, fault: { kind: "answer", status: 400 } }]);
    expect((await cluster.chat()).status).toBe(400);
    await until("it was tried", () => count(cluster, "prefills", FREE) > 0);
    return cluster;
  }

  test("is tried again until it succeeds", async () => {
    await using cluster = await orphaned({ kind: "answer", status: 500 });
    const prefill = only(cluster.prefills);
    expect((await cluster.proxy.status())[prefill.url]?.open_sessions).toBe(1);
    await until("it was tried again", () => count(cluster, "prefills", FREE) > 2);
    expect(prefill.state().preservedSessions).toBe(1);
    prefill.setFaults([]);
    await cluster.quiet();
  });

  test("is tried at once by gc, which counts", async () => {
    await using cluster = await orphaned({ kind: "answer", status: 500 });
    expect(await gc(cluster)).toEqual({ freed: 0, failed: 1 });
    only(cluster.prefills).setFaults([]);
    expect(await gc(cluster)).toBeOneOf([
      { freed: 1, failed: 0 },
      { freed: 0, failed: 0 },
    ]);
    await cluster.quiet();
    expect(await gc(cluster)).toEqual({ freed: 0, failed: 0 });
  });

  test("with 404 is not tried again: that engine has no such call", async () => {
    await using cluster = await orphaned({ kind: "answer", status: 404 });
    await until("it is given up", async () =>
      Object.values(await cluster.proxy.status()).every(({ open_sessions }) => open_sessions === 0),
    );
    expect(count(cluster, "prefills", FREE)).toBe(1);
    await until("that is said", () => cluster.proxy.log().includes("given up"));
  });
});

describe.concurrent("a prefill engine that is another process than before", () => {
  test("by registering anew: its old sessions are forgotten, never freed", async () => {
    await using cluster = await startCluster();
    const [prefill, decode] = [only(cluster.prefills), only(cluster.decodes)];
    decode.setFaults([{ path: CHAT, fault: HANG }]);
    const gone = new AbortController();
    const answering = cluster.chat({}, { signal: gone.signal });
    await until("the decode has it", () => decode.state().openRequests === 1);
    await prefill.stop(true);
    const again = await startRole("Prefill", cluster.proxy, { port: prefill.port });
    expect((await cluster.proxy.status())[prefill.url]?.open_sessions).toBe(0);
    gone.abort();
    await expect(answering).rejects.toThrow();
    decode.setFaults([]);
    await until("the pair is connected anew", async () =>
      Object.values(await cluster.proxy.status()).every(({ pairs }) => pairs === 1),
    );
    expect((await cluster.chat()).status).toBe(200);
    expect(again.state().requestsByPath[FREE]).toBeUndefined();
    expect(again.state().preservedSessions).toBe(0);
    await again.stop(true);
  });

  test("by a number that came before: nothing of the old process is freed in the new one", async () => {
    await using cluster = await startCluster();
    const prefill = only(cluster.prefills);
    expect((await cluster.chat()).status).toBe(200);
    // Replaced without a word, and quicker than anybody looks.
    await prefill.stop(true);
    const again = await startRole("Prefill", null, { port: prefill.port });
    await until("requests succeed again", async () => (await cluster.chat()).status === 200);
    await until("nothing is open", async () =>
      Object.values(await cluster.proxy.status()).every(({ open_sessions }) => open_sessions === 0),
    );
    expect(again.state().preservedSessions).toBe(0);
    await again.stop(true);
  });
});

test.concurrent("a decode engine replaced without a word is connected anew once it refuses blocks", async () => {
  await using cluster = await startCluster();
  const decode = only(cluster.decodes);
  expect((await cluster.chat()).status).toBe(200);
  await decode.stop(true);
  const again = await startRole("Decode", null, { port: decode.port });
  const answers: number[] = [];
  while (answers.at(-1) !== 200) answers.push((await cluster.chat()).status);
  expect(answers.length).toBeLessThan(4);
  await until("nothing is kept", () => only(cluster.prefills).state().preservedSessions === 0);
  await again.stop(true);
});

test.concurrent("when the proxy shuts down, what decodes have not finished is freed", async () => {
  await using cluster = await startCluster({
    engine: { timeScale: 1 },
    flags: ["--drain-timeout", "0.2"],
  });
  const answers = await Promise.all(
    Array.from({ length: 5 }, () =>
      cluster.chat({ stream: true, max_tokens: 2_000, ignore_eos: true }),
    ),
  );
  const texts = answers.map((answer) => answer.text().catch(() => "broken"));
  expect(await cluster.proxy.end("SIGTERM")).toBe(0);
  expect(await Promise.all(texts)).toEqual(Array.from({ length: 5 }, () => "broken"));
  expect(count(cluster, "prefills", FREE)).toBe(5);
  expect(only(cluster.prefills).state()).toMatchObject({ preservedSessions: 0, usedBlocks: 0 });
});

test.concurrent("a request without any pair is refused with what to look at", async () => {
  await using cluster = await startCluster({
    flags: ["--health-interval", "0.2", "--queue-timeout", "0.3"],
  });
  await only(cluster.decodes).stop(true);
  await until("the node is ejected", async () =>
    Object.values(await cluster.proxy.status()).some(({ state }) => state === "unhealthy"),
  );
  const answer = await chat(cluster.proxy.url);
  expect(answer.status).toBeOneOf([502, 503]);
  expect(only(cluster.prefills).state().preservedSessions).toBe(0);
});
