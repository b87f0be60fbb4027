/** Every body that goes to an engine, byte for byte, against fixtures written from the contract. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { type RecordingEngine, startRecordingEngine } from "./recording-engine.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

/** Doubly encoded, as LMDeploy does; the other engine answers with the plain object. */
const PREFILL_INFO = JSON.stringify(
  '{"tp_size": 2, "ep_size": 1, "dp_size": null, "dp_rank": 0, "block_size": 64, "num_gpu_blocks": 9007199254740993}',
);
const DECODE_INFO = '{"tp_size":2}';
const PREFILL_ENDPOINTS =
  '{"status": 1, "engine_endpoint_info": {"zmq_address": "tcp://prefill:41234"}, ' +
  '"kvtransfer_endpoint_info": [{"protocol": 2, "endpoint_info": "{\\"gid\\": \\"\\u00e9\\"}"}]}';
const DECODE_ENDPOINTS =
  '{"kvtransfer_endpoint_info": [], "status": 1, ' +
  '"engine_endpoint_info": {"zmq_address":"tcp://decode:5","more":[1.0,1e3]}}';
const PREFILLED =
  '{"id": "18446744073709551615", "object": "chat.completion", "choices": [], ' +
  '"cache_block_ids": [7, 8, 9], "remote_token_ids": [5, 1234]}';

const CHAT =
  '{ "model": "m", "messages": [{"role": "user", "content": "h\\u00e9 😀"}], ' +
  '"seed": 12345678901234567890, "stream": true, "stream_options": {"include_usage": true}, ' +
  '"session_id": 7, "max_tokens": 100, "max_completion_tokens": 90, "min_new_tokens": 5, ' +
  '"temperature": 0.70, "with_cache": false, "preserve_cache": false, ' +
  '"migration_request": {"remote_session_id": 1} }';
const COMPLETION = '{"model":"m","prompt":[1,2,3]}';

const TRANSPORTS = [
  ["rdma-gdr-roce", []],
  ["rdma-gdr-ib", ["--link-type", "IB"]],
  ["rdma-roce", ["--disable-gdr", "--link-type", "RoCE"]],
  ["rdma-ib", ["--disable-gdr", "--link-type", "IB"]],
  ["nvlink", ["--migration-protocol", "NVLINK"]],
] as const;

/** Bodies by "node path", with the URLs of real nodes. */
async function fixture(name: string, prefill: RecordingEngine, decode: RecordingEngine) {
  const text = await Bun.file(join(import.meta.dir, "fixtures", `${name}.txt`)).text();
  const entries = text.trimEnd().split("\n\n");
  return new Map(
    entries.map((entry): [string, string] => {
      const [title = "", body = ""] = entry.split("\n");
      return [
        title,
        body
          .replaceAll("http://prefill:23333", prefill.url)
          .replaceAll("http://decode:23333", decode.url),
      ];
    }),
  );
}

function startEngines() {
  const done = '{"object": "done", "choices": [{}]}';
  return {
    prefill: startRecordingEngine(PREFILL_INFO, {
      "/distserve/p2p_initialize": PREFILL_ENDPOINTS,
      "/distserve/p2p_drop_connect": '{"success": true}',
      "/distserve/free_cache": '{"status": "SUCCESS"}',
      "/v1/chat/completions": PREFILLED,
      "/v1/completions": PREFILLED.replace('"18446744073709551615"', "18446744073709551615"),
    }),
    decode: startRecordingEngine(DECODE_INFO, {
      "/distserve/p2p_initialize": DECODE_ENDPOINTS,
      "/distserve/p2p_drop_connect": '{"success": true}',
      "/v1/chat/completions": done,
      "/v1/completions": [400, done],
    }),
  };
}

function post(url: string, body: string) {
  return fetch(url, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", "accept-encoding": "gzip" },
  });
}

async function startServing(flags: readonly string[], needed: readonly string[]) {
  const proxy = await startProxy(["--serving-strategy", "DistServe", ...flags]);
  await until("the nodes are healthy", async () => {
    const statuses = Object.entries(await proxy.status());
    return needed.every((url) =>
      statuses.some(
        ([node, { state, models }]) => node === url && state === "healthy" && models[0],
      ),
    );
  });
  return proxy;
}

describe.each(TRANSPORTS)("%s", (name, flags) => {
  test("handshake, prefill, decode, free and drop", async () => {
    const engines = startEngines();
    await using prefill = engines.prefill;
    await using decode = engines.decode;
    const expected = await fixture(name, prefill, decode);
    await using proxy = await startServing(
      ["--prefill", prefill.url, "--decode", decode.url, "--no-retry", ...flags],
      [prefill.url, decode.url],
    );
    expect((await post(`${proxy.url}/v1/chat/completions`, CHAT)).status).toBe(200);
    // Refused by the decode engine: the session has to be freed.
    expect((await post(`${proxy.url}/v1/completions`, COMPLETION)).status).toBe(400);
    await until("the session is freed", () => prefill.bodies("/distserve/free_cache")[0]);
    await post(`${proxy.url}/nodes/remove`, JSON.stringify({ url: decode.url }));
    await until("both are told", () =>
      [prefill, decode].every((engine) => engine.bodies("/distserve/p2p_drop_connect")[0]),
    );
    for (const [title, body] of expected) {
      const [node, path = ""] = title.split(" ");
      if (title.endsWith("(dummy)")) continue;
      const engine = node === "prefill" ? prefill : decode;
      expect([title, engine.bodies(path)]).toEqual([title, [body]]);
    }
    // Newer engines take these fields from a proxy that names itself only; the prefill's answer is
    // read here, whatever the client can unpack.
    const [sent] = prefill.calls.filter(({ path }) => path === "/v1/chat/completions");
    expect(sent?.headers.get("x-lmdeploy-distserve-proxy")).toBe("1");
    expect(sent?.headers.get("accept-encoding")).toBe("identity");
    const [migrated] = decode.calls.filter(({ path }) => path === "/v1/chat/completions");
    expect(migrated?.headers.get("x-lmdeploy-distserve-proxy")).toBe("1");
    expect(migrated?.headers.get("accept-encoding")).toBe("gzip");
  });

  test("dummy prefill skips handshake and prefill", async () => {
    const engines = startEngines();
    await using prefill = engines.prefill;
    await using decode = engines.decode;
    const expected = await fixture(name, prefill, decode);
    await using proxy = await startServing(
      ["--prefill", prefill.url, "--decode", decode.url, "--dummy-prefill", ...flags],
      [decode.url],
    );
    expect((await post(`${proxy.url}/v1/completions`, COMPLETION)).status).toBe(400);
    expect(decode.calls.map(({ body }) => body)).toEqual([
      expected.get("decode /v1/completions (dummy)") ?? "",
    ]);
    expect(prefill.calls).toEqual([]);
  });
});
