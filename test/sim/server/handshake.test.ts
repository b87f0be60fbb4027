import { describe, expect, test } from "bun:test";
import { connectTo, initialize, objectOf, startPair } from "./pair.ts";
import { engineStarter, post } from "./running.ts";

const start = engineStarter();

describe("a handshake fails", () => {
  test("when the sizes differ, at the initialization", async () => {
    const prefill = await start({ role: "Prefill", tpSize: 2, release: "0.11" });
    const decode = await start({ role: "Decode", tpSize: 4, release: "0.11" });
    expect((await objectOf(await initialize(prefill, decode))).status).toBe(2);
  });

  test.each([
    ["a field is a string", { protocol: "2" }, 422],
    ["a config is missing", { rdma_config: null }, 200],
    ["the id is another engine's", { local_engine_id: "http://127.0.0.1:9" }, 200],
    ["the link type is a name", { rdma_config: { with_gdr: true, link_type: "RoCE" } }, 422],
  ])("when %s", async (_, changes, status) => {
    const { prefill, decode } = await startPair(start);
    const answer = await initialize(prefill, decode, changes);
    expect(answer.status).toBe(status);
    if (status === 200) expect((await objectOf(answer)).status).toBe(2);
  });

  test("when infos are swapped, changed or for somebody else", async () => {
    const { prefill, decode } = await startPair(start);
    const ofPrefill = await objectOf(await initialize(prefill, decode));
    const ofDecode = await objectOf(await initialize(decode, prefill));
    const attempts = [
      await connectTo(prefill, decode, ofPrefill),
      await connectTo(prefill, decode, {
        ...ofDecode,
        kvtransfer_endpoint_info: ofPrefill.kvtransfer_endpoint_info,
      }),
      await connectTo(prefill, decode, ofDecode, { protocol: 3 }),
      await connectTo(prefill, decode, ofDecode, { remote_engine_id: `${decode.url}/` }),
    ];
    for (const attempt of attempts) expect((await objectOf(attempt)).status).toBe(2);
    expect(prefill.state().connectedPeers).toEqual([]);
    expect((await objectOf(await connectTo(prefill, decode, ofDecode))).status).toBe(1);
    expect(prefill.state().connectedPeers).toEqual([decode.url]);
  });

  test("with an exception since 0.17, and so does dropping what is not there", async () => {
    const { prefill, decode } = await startPair(start, { release: "0.18" });
    const changes = { local_engine_id: "http://127.0.0.1:9" };
    expect((await initialize(prefill, decode, changes)).status).toBe(500);
    expect((await initialize(prefill, decode, { protocol: "2" })).status).toBe(400);
    const drop = { engine_id: prefill.url, remote_engine_id: decode.url };
    const dropped = await post(`${prefill.url}/distserve/p2p_drop_connect`, drop);
    expect(dropped.status).toBe(500);
  });

  test("when a fault says so", async () => {
    const { prefill, decode } = await startPair(start);
    const path = "/distserve/p2p_initialize";
    prefill.setFaults([
      { path, fault: { kind: "answer", status: 200, body: '{"status":2}' }, count: 1 },
    ]);
    expect((await objectOf(await initialize(prefill, decode))).status).toBe(2);
    expect((await objectOf(await initialize(prefill, decode))).status).toBe(1);
  });
});
