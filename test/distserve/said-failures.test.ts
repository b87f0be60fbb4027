/** A decode that fails inside a 200 has not fetched the blocks, or nobody knows: they are freed. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { chat } from "./cluster.ts";
import { startRecordingEngine } from "./recording-engine.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
const FREE = "/distserve/free_cache";
const CALLS = {
  "/distserve/p2p_initialize":
    '{"status": 1, "engine_endpoint_info": {"zmq_address": "tcp://a:1"}, "kvtransfer_endpoint_info": []}',
  [FREE]: '{"status": "SUCCESS"}',
};
const word =
  'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n';
const failed = 'data: {"error": {"message": "m", "type": "server_error", "code": 503}}\n\n';
const done = "data: [DONE]\n\n";
const choice = (finish: string) =>
  `{"object": "chat.completion", "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "${finish}"}]}`;

async function* pieces(body: string) {
  for (const event of body.split(/(?<=\n\n)/)) yield event;
}

describe.each([
  ["in pieces", true],
  ["at once", false],
])("sent %s", (_how, inPieces) => {
  test.each([
    ["before its first word", "text/event-stream", failed + done, 1],
    ["in mid-stream", "text/event-stream", word + failed + done, 1],
    ["whole, as LMDeploy up to 0.14.0 says it", "application/json", choice("error"), 1],
    ["not at all: streamed", "text/event-stream", word + done, 0],
    ["not at all: whole", "application/json", choice("stop"), 0],
  ] as const)("a decode that fails %s", async (_, type, body, frees) => {
    await using prefill = startRecordingEngine('{"tp_size": 1}', {
      ...CALLS,
      [CHAT]: ["7", "8", "9"].map(
        (id) => `{"id": "${id}", "cache_block_ids": [7], "remote_token_ids": [5]}`,
      ),
    });
    const decode = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      routes: {
        "/health": new Response(),
        "/v1/models": Response.json({ object: "list", data: [{ id: "m" }] }),
        "/distserve/engine_info": Response.json({ tp_size: 1 }),
        "/distserve/p2p_initialize": new Response(CALLS["/distserve/p2p_initialize"]),
        "/distserve/p2p_connect": Response.json({ status: 1 }),
        [CHAT]: () =>
          new Response(inPieces ? pieces(body) : body, { headers: { "content-type": type } }),
      },
      fetch: () => new Response("{}"),
    });
    const roles = ["--prefill", prefill.url, "--decode", decode.url.origin];
    await using proxy = await startProxy(["--serving-strategy", "DistServe", ...roles]);
    await until("they are connected", async () =>
      Object.values(await proxy.status()).every(({ pairs, state }) => state === "healthy" && pairs),
    );
    const answer = await chat(proxy.url, { stream: type !== "application/json" });
    await answer.text();
    await until("nothing is open", async () =>
      Object.values(await proxy.status()).every(
        ({ unfinished, open_sessions }) => unfinished === 0 && open_sessions === 0,
      ),
    );
    expect(prefill.bodies(FREE).length).toBe(frees * prefill.bodies(CHAT).length);
    await decode.stop(true);
  });
});
