/**
 * The calls that trainers make of a router, as the sources of slime, miles, vime and NeMo RL make them:
 * URLs stand in queries unescaped, registrations try a new way and then the old one, an abort asks the
 * router for its workers and then each of them.
 */
import { expect, test } from "bun:test";
import { ask } from "../support/ask.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { startRecordingNode } from "../support/recording-node.ts";

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
