/** A prefill that is refused has no session to name: its connection need not be waited for. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { chat } from "./cluster.ts";
import { startRecordingEngine } from "./recording-engine.ts";

setDefaultTimeout(60_000);
const CALLS = {
  "/distserve/p2p_initialize":
    '{"status": 1, "engine_endpoint_info": {"zmq_address": "tcp://a:1"}, "kvtransfer_endpoint_info": []}',
};

test("refused too late, without an end, it keeps no connection", async () => {
  let refused = 0;
  let ended = 0;
  await using decode = startRecordingEngine('{"tp_size": 1}', CALLS);
  await using controls = startRecordingEngine('{"tp_size": 1}', CALLS);
  const prefill = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (!pathname.startsWith("/v1/chat")) return await fetch(controls.url + pathname, request);
      await Bun.sleep(1_000);
      refused += 1;
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new Uint8Array(100)),
        cancel() {
          ended += 1;
        },
      });
      return new Response(body, { status: 400 });
    },
  });
  const nodes = ["--prefill", prefill.url.origin, "--decode", decode.url];
  const flags = ["--serving-strategy", "DistServe", "--first-byte-timeout", "0.3", "--no-retry"];
  await using proxy = await startProxy([...flags, ...nodes]);
  await until("the pair is connected", async () =>
    Object.values(await proxy.status()).every(({ pairs }) => pairs === 1),
  );
  expect((await chat(proxy.url)).status).toBe(504);
  await until("the refusal has come", () => refused === 1);
  await until("its connection has ended", () => ended === 1);
  await prefill.stop(true);
});
