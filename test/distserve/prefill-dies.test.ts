/** What a decode engine answers whose prefill engine has died is neither the request's doing nor its own. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { chat } from "./cluster.ts";
import { startRecordingEngine } from "./recording-engine.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
const CALLS = {
  "/distserve/p2p_initialize":
    '{"status": 1, "engine_endpoint_info": {"zmq_address": "tcp://a:1"}, "kvtransfer_endpoint_info": []}',
};
const REQUESTS = 40;

function startPrefill(port = 0) {
  const prefilled = times(2 * REQUESTS, null).map(
    (_, id) => `{"id": ${id}, "cache_block_ids": [7], "remote_token_ids": [5]}`,
  );
  return startRecordingEngine('{"tp_size": 1}', { ...CALLS, [CHAT]: prefilled }, port);
}

/** Decode engines that answer once they are told to: with `status` what they have by then, all else well. */
function startDecodes(count: number, status: number) {
  const told = Promise.withResolvers<void>();
  const state = { waiting: 0, isTold: false };
  const engines = times(count, null).map(() => {
    const controls = startRecordingEngine('{"tp_size": 1}', CALLS);
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      async fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname !== CHAT) return await fetch(controls.url + pathname, request);
        if (state.isTold) return Response.json({ choices: [{ message: { content: "x" } }] });
        state.waiting += 1;
        await told.promise;
        return new Response("no", { status });
      },
    });
    return {
      url: server.url.origin,
      stop: () => Promise.all([server.stop(true), controls[Symbol.asyncDispose]()]),
    };
  });
  return {
    urls: engines.map(({ url }) => url),
    state,
    answer() {
      state.isTold = true;
      told.resolve();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(engines.map(({ stop }) => stop()));
    },
  };
}

test.each([
  [1, 500],
  [2, 500],
  [2, 502],
])(
  "%d decode engines that answer %d since it has died lose nothing, and none of them is out",
  async (count, status) => {
    const prefill = startPrefill();
    await using decodes = startDecodes(count, status);
    const nodes = ["--prefill", prefill.url, ...decodes.urls.flatMap((url) => ["--decode", url])];
    const flags = ["--serving-strategy", "DistServe", "--health-interval", "600"];
    await using proxy = await startProxy([...flags, ...nodes]);
    await until("all are connected", async () => {
      const statuses = await proxy.status();
      return decodes.urls.every((url) => statuses[url]?.pairs === 1);
    });
    const asked = times(REQUESTS, null).map(async () => (await chat(proxy.url)).status);
    await until("all are decoded", () => decodes.state.waiting === REQUESTS);
    await prefill[Symbol.asyncDispose]();
    decodes.answer();
    await until("it is out", async () => (await proxy.status())[prefill.url]?.state !== "healthy");
    await using again = startPrefill(Number(new URL(prefill.url).port));
    expect(await Promise.all(asked)).toEqual(times(REQUESTS, 200));
    expect(again.bodies(CHAT).length).toBe(REQUESTS);
    expect(
      proxy
        .log()
        .match(/"node is out"[^\n]*/g)
        ?.filter((line) => !line.includes(prefill.url)),
    ).toEqual([]);
  },
);
