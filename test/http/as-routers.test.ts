/**
 * What `--as` another router changes of the answers: models that nobody lists, and statuses of registrations;
 * and which prompts stay together by the name of its policy.
 */
import { expect, test } from "bun:test";
import { fieldOf } from "../../src/page/calls.ts";
import { startProxy } from "../support/proxy.ts";
import { startRecordingNode } from "../support/recording-node.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

async function completing(url: string, model: string): Promise<number> {
  const answer = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, prompt: "x" }),
  });
  await answer.bytes();
  return answer.status;
}

test.each([
  ["vllm-router", 200, 200],
  ["sglang-router", 200, 202],
  ["smg", 404, 202],
])(
  "as %s a model that nobody lists is %d, and a registration %d",
  async (product, model, added) => {
    await using node = startRecordingNode(["tiny"]);
    await using other = startRecordingNode(["tiny"]);
    await using proxy = await startProxy(["--as", product, "--worker-urls", node.url]);
    await untilHealthy(proxy, 1);
    expect(await completing(proxy.url, "default")).toBe(model);
    // Byte for byte, its name too.
    const asked = node.asked.filter((line) => line.includes('"model":"default"'));
    expect(asked).toHaveLength(model === 200 ? 1 : 0);
    const registering = await fetch(`${proxy.url}/workers`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: other.url }),
    });
    expect([registering.status, await registering.json()]).toMatchObject([
      added,
      { success: true },
    ]);
    const encoded = encodeURIComponent(other.url);
    const removing = await fetch(`${proxy.url}/workers/${encoded}`, { method: "DELETE" });
    expect(removing.status).toBe(added);
  },
);

test("a model that nobody lists is anyone's also when engines say what they serve while the request waits", async () => {
  const said = Promise.withResolvers<void>();
  await using engine = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch({ url }) {
      if (new URL(url).pathname !== "/v1/models") return Response.json({});
      await said.promise;
      return Response.json({ object: "list", data: [{ id: "tiny", object: "model" }] });
    },
  });
  const nodes = ["--worker-urls", engine.url.origin];
  await using proxy = await startProxy(["--as", "sglang-router", ...nodes]);
  const status = completing(proxy.url, "default");
  await until("it waits", async () => {
    const open: unknown = await (await fetch(`${proxy.url}/debug/requests`)).json();
    return fieldOf(open, 0, "model") === "default";
  });
  said.resolve();
  expect(await status).toBe(200);
});

test("where engines serve different models, one that nobody lists is 404 all the same", async () => {
  await using one = startRecordingNode(["a"]);
  await using two = startRecordingNode(["b"]);
  await using proxy = await startProxy(["--as", "vllm-router", "--worker-urls", one.url, two.url]);
  await untilHealthy(proxy, 2);
  expect([await completing(proxy.url, "a"), await completing(proxy.url, "default")]).toEqual([
    200, 404,
  ]);
});

test.each([
  ["a system prompt", 300, 0],
  ["tools, behind the messages", 30, 300],
])("an agent's requests stay together by %s of 300 bytes", async (_, systemBytes, toolBytes) => {
  await using one = startRecordingNode();
  await using two = startRecordingNode();
  const flags = ["--as", "vllm-router", "--policy", "cache_aware"];
  await using proxy = await startProxy([...flags, "--worker-urls", one.url, two.url]);
  await untilHealthy(proxy, 2);
  for (let turn = 0; turn < 12; turn += 1) {
    const answer = await fetch(`${proxy.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: "tiny",
        messages: [
          { role: "system", content: "s".repeat(systemBytes) },
          { role: "user", content: `Fix changing task suffix ${turn}` },
        ],
        tools: [{ type: "function", function: { name: "f", description: "d".repeat(toolBytes) } }],
      }),
    });
    expect(answer.status).toBe(200);
    await answer.bytes();
  }
  expect([one.asked.length, two.asked.length].toSorted()).toEqual([0, 12]);
});
