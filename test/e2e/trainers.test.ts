/**
 * The calls that trainers make of a router, as the sources of slime, miles, vime, NeMo RL, prime-rl and verl make them:
 * URLs stand in queries unescaped, registrations try a new way and then the old one, an abort asks the
 * router for its workers and then each of them.
 */
import { expect, test } from "bun:test";
import { ask } from "../support/ask.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { type RecordingNode, startRecordingNode } from "../support/recording-node.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

async function json(proxy: ProxyProcess, path: string, init: RequestInit = {}) {
  const answer = await fetch(proxy.url + path, init);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return Object(await answer.json());
}

function register(proxy: ProxyProcess, url: string): Promise<Response> {
  const body = JSON.stringify({ url, worker_type: "regular" });
  const headers = { "content-type": "application/json" };
  return fetch(`${proxy.url}/workers`, { method: "POST", headers, body });
}

test("engines register, serve a rollout, are aborted, get new weights, and leave", async () => {
  await using one = startRecordingNode();
  await using two = startRecordingNode();
  await using proxy = await startProxy();
  // NeMo RL takes a 200 for "can be routed to".
  expect((await register(proxy, one.url)).status).toBe(200);
  expect((await ask(proxy)).status).toBe(200);
  // sglang-router up to 0.2.1.
  const old = await fetch(`${proxy.url}/add_worker?url=${two.url}`, { method: "POST" });
  expect(old.status).toBe(200);

  const { urls } = await json(proxy, "/list_workers");
  const { workers } = await json(proxy, "/workers");
  expect(urls).toEqual([one.url, two.url]);
  expect(workers.map((worker: { url: string }) => worker.url)).toEqual(urls);

  for (const url of urls) {
    const aborted = await fetch(`${url}/abort_request`, {
      method: "POST",
      body: JSON.stringify({ abort_all: true }),
    });
    expect(aborted.status).toBe(200);
  }
  // What the same takes here: one call.
  const body = JSON.stringify({ abort_all: true });
  expect(await json(proxy, "/abort_request", { method: "POST", body })).toMatchObject({
    succeeded: 2,
  });
  for (const path of ["/pause_generation", "/flush_cache", "/continue_generation"]) {
    expect(await json(proxy, path, { method: "POST" })).toMatchObject({ succeeded: 2 });
  }
  expect(two.asked.filter((asked) => asked.startsWith("POST /abort_request"))).toHaveLength(2);

  const id = workers.find((worker: { url: string }) => worker.url === one.url)?.id;
  await json(proxy, `/workers/${id}`, { method: "DELETE" });
  const removed = await fetch(`${proxy.url}/remove_worker?url=${two.url}`, { method: "POST" });
  expect(removed.status).toBe(200);
  expect(await json(proxy, "/workers")).toMatchObject({ workers: [], total: 0 });
});

/** Which of two nodes got each of some requests that came one after the other. */
function placesOf(nodes: readonly RecordingNode[], part: string): number[] {
  return nodes.map(({ asked }) => asked.filter((line) => line.includes(part)).length);
}

test.each([
  // vllm-router as prime-rl starts it; slime's and miles' SGLang routers.
  [
    "--as vllm-router --policy sticky_least_loaded --request-id-headers x-session-id",
    "X-Session-ID",
  ],
  ["--as sglang-router --policy manual", "X-SMG-Routing-Key"],
  ["launch --policy consistent_hashing", "X-SMG-Routing-Key"],
])("%s: a rollout's turns stay together, and end", async (flags, header) => {
  await using one = startRecordingNode();
  await using two = startRecordingNode();
  const nodes = [one, two];
  await using proxy = await startProxy([
    ...flags.split(" ").filter((word) => word !== "launch"),
    "--worker-urls",
    ...nodes.map(({ url }) => url),
  ]);
  await untilHealthy(proxy, 2);
  const post = async (path: string, body: object, headers: Record<string, string> = {}) => {
    const answer = await fetch(proxy.url + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    await answer.bytes();
    return answer.status;
  };
  const traces = Array.from({ length: 8 }, (_, i) => `trace-${i}-of-these`);
  for (let turn = 0; turn < 3; turn += 1) {
    for (const trace of traces) {
      const ids = { [header]: trace };
      const turns = Array.from({ length: turn + 1 }, (_, at) => ({
        role: "user",
        content: trace + at,
      }));
      expect(await post("/v1/chat/completions", { model: "tiny", messages: turns }, ids)).toBe(200);
      const generate = { input_ids: [turn, 2, 3], rid: trace, return_logprob: true, stream: false };
      expect(await post("/generate", generate, ids)).toBe(200);
    }
  }
  for (const trace of traces) expect(placesOf(nodes, trace).toSorted()).toEqual([0, 6]);
  expect(Math.min(...placesOf(nodes, "of-these"))).toBeGreaterThan(0);
  // Scores of tokens, as prime-rl asks for them, and the end of its sessions.
  const score = {
    model: "tiny",
    token_ids: [1, 2],
    sampling_params: { max_tokens: 1, prompt_logprobs: 1 },
  };
  expect(await post("/inference/v1/generate", score)).toBe(200);
  for (const trace of traces)
    expect(await post(`/finish_session?session_id=${trace}`, {})).toBe(200);
});

test("verl's reward models: a router over all replicas, asked as soon as it is healthy", async () => {
  await using one = startRecordingNode();
  await using two = startRecordingNode();
  const flags =
    "--as sglang-router --balance-abs-threshold 0 --log-level warn --request-timeout-secs 180";
  await using proxy = await startProxy([...flags.split(" "), "--worker-urls", one.url, two.url]);
  await until("it is healthy", async () => (await fetch(`${proxy.url}/health`)).ok);
  await untilHealthy(proxy, 2);
  const calls = ["/v1/chat/completions", "/classify", "/v1/embeddings", "/generate"].map((path) =>
    fetch(proxy.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      // The path of the weights: SGLang's own name of a model.
      body: JSON.stringify({ model: "/models/reward", input: "x", text: "x", messages: [] }),
    }),
  );
  for (const answer of await Promise.all(calls)) expect(answer.status).toBe(200);
  expect(one.asked.length + two.asked.length).toBe(4);
});
