/** What a decode engine refuses: its pair may be stale, since an engine was restarted and nobody noticed, or it is the request's own doing. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { chat, only, startCluster, startRole } from "./cluster.ts";
import { startRecordingEngine } from "./recording-engine.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
const CALLS = {
  "/distserve/p2p_initialize":
    '{"status": 1, "engine_endpoint_info": {"zmq_address": "tcp://a:1"}, "kvtransfer_endpoint_info": []}',
  "/distserve/free_cache": '{"status": "SUCCESS"}',
};
const FLAGS = ["--health-interval", "600"];

/** What a decode engine does with a request that says … */
const SAYS = ["bad", "late", "hang"] as const;

/** One that refuses `bad` once it is told to, and answers `late` just after that, `hang` never, all else at once. */
function startRefusing() {
  const controls = startRecordingEngine('{"tp_size": 1}', CALLS);
  const refused = Promise.withResolvers<void>();
  const counts = { bad: 0, late: 0, hang: 0, connected: 0 };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/distserve/p2p_connect") counts.connected += 1;
      if (pathname !== CHAT) return await fetch(controls.url + pathname, request);
      const body = await request.text();
      const says = SAYS.find((word) => body.includes(word));
      if (says !== undefined) {
        counts[says] += 1;
        await refused.promise;
      }
      if (says === "bad") return new Response("no", { status: 400 });
      if (says === "late") await Bun.sleep(50);
      if (says === "hang") await new Promise(() => {});
      return Response.json({ choices: [{}] });
    },
  });
  return {
    url: server.url.origin,
    counts,
    refuse: refused.resolve,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await controls[Symbol.asyncDispose]();
    },
  };
}

describe("what the only decode engine refuses while it answers others over the same pair", () => {
  async function start() {
    const prefilled = times(9, null).map(
      (_, id) => `{"id": ${id}, "cache_block_ids": [7], "remote_token_ids": [5]}`,
    );
    const prefill = startRecordingEngine('{"tp_size": 1}', { ...CALLS, [CHAT]: prefilled });
    const decode = startRefusing();
    const nodes = ["--prefill", prefill.url, "--decode", decode.url];
    const proxy = await startProxy(["--serving-strategy", "DistServe", ...FLAGS, ...nodes]);
    await until("the pair is connected", async () =>
      Object.values(await proxy.status()).every(({ pairs }) => pairs === 1),
    );
    return {
      prefill,
      decode,
      chat: (messages: string, init: RequestInit = {}) => chat(proxy.url, { messages }, init),
      async [Symbol.asyncDispose]() {
        await proxy.end("SIGKILL");
        await Promise.all([prefill, decode].map((engine) => engine[Symbol.asyncDispose]()));
      },
    };
  }

  test("is the request's own doing", async () => {
    await using cluster = await start();
    const { prefill, decode } = cluster;
    const bad = cluster.chat("bad");
    await until("it is there", () => decode.counts.bad === 1);
    expect((await cluster.chat("good")).status).toBe(200);
    decode.refuse();
    const answer = await bad;
    expect([answer.status, await answer.text()]).toEqual([400, "no"]);
    expect([prefill.bodies(CHAT).length, decode.counts.connected]).toEqual([2, 1]);
  });

  test("is that, too, where it answers them a moment later", async () => {
    await using cluster = await start();
    const { prefill, decode } = cluster;
    const leaving = new AbortController();
    const hung = cluster.chat("hang", { signal: leaving.signal }).catch(() => "left");
    await until("one uses the pair", () => decode.counts.hang === 1);
    const bad = cluster.chat("bad");
    await until("it is there", () => decode.counts.bad === 1);
    const late = cluster.chat("late");
    await until("that is there, too", () => decode.counts.late === 1);
    decode.refuse();
    const answer = await bad;
    expect([answer.status, await answer.text()]).toEqual([400, "no"]);
    expect((await late).status).toBe(200);
    expect([prefill.bodies(CHAT).length, decode.counts.connected]).toEqual([3, 1]);
    leaving.abort();
    expect(await hung).toBe("left");
  });
});

test.each([3, 4, 8])(
  "a prefill engine that %d decode engines do not know any more costs nobody anything",
  async (decodes) => {
    await using cluster = await startCluster({ decodes, flags: FLAGS });
    const { port } = only(cluster.prefills);
    await only(cluster.prefills).stop(true);
    cluster.prefills[0] = await startRole("Prefill", null, { port });
    expect((await cluster.chat()).status).toBe(200);
    await cluster.quiet();
  },
);

test.each([
  ["Prefill", 1],
  ["Decode", 1],
  ["Prefill", 2],
  ["Prefill", 3],
] as const)(
  "a %s engine restarted so fast that nobody noticed, with %d to decode, costs none of many requests at once anything",
  async (role, decodes) => {
    await using cluster = await startCluster({ decodes, flags: FLAGS });
    const list = role === "Prefill" ? cluster.prefills : cluster.decodes;
    const { port } = only(list);
    await only(list).stop(true);
    list[0] = await startRole(role, null, { port });
    const prefill = only(cluster.prefills);
    prefill.setPace(0);
    const asked = times(40, null).map(async () => (await cluster.chat()).status);
    await until("all are there", () => prefill.state().openRequests === 40);
    prefill.setPace(1);
    expect(await Promise.all(asked)).toEqual(times(40, 200));
    await cluster.quiet();
  },
);
