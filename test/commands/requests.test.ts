import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";
import { run } from "./program.ts";

/** Begins to answer, and never ends. */
const engine = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  routes: { "/v1/models": Response.json({ object: "list", data: [{ id: "m" }] }) },
  fetch: ({ method }) => {
    if (method === "GET") return new Response();
    const said = 'data: {"choices":[{"index":0,"text":"a"}]}\n\n';
    const body = new ReadableStream({ start: (to) => to.enqueue(said) });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  },
});
let proxy: ProxyProcess;
setDefaultTimeout(60_000);

beforeAll(async () => {
  proxy = await startProxy(["--node", engine.url.origin, "--api-keys", "team-a:sk-1"]);
  await untilHealthy(proxy, 1, "sk-1");
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await engine.stop(true);
});

const HERE = () => ["--proxy-url", proxy.url, "--admin-key", "sk-1"];

test("requests shows what runs, oldest first, and nothing when nothing does", async () => {
  const idle = await run(["requests", ...HERE()]);
  expect(idle).toMatchObject({ code: 0, out: "nothing runs and nothing waits\n" });
  const leaving = new AbortController();
  const answer = await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: {
      authorization: "Bearer sk-1",
      "content-type": "application/json",
      "x-request-id": "the-long-one",
    },
    body: JSON.stringify({ model: "m", prompt: "x", stream: true }),
    signal: leaving.signal,
  });
  const shown = await run(["requests", ...HERE()]);
  expect(shown.out).toMatch(/^id +age +phase +last byte/);
  expect(shown.out).toMatch(/the-long-one +\d.*answering.*key:team-a/);
  const json: unknown = JSON.parse((await run(["requests", "--json", ...HERE()])).out);
  expect(json).toMatchObject([{ id: "the-long-one", phase: "answering", node: engine.url.origin }]);
  expect(answer.status).toBe(200);
  leaving.abort();
  await until("it has ended", async () => {
    return (await run(["requests", ...HERE()])).out.startsWith("nothing");
  });
});

test("requests is for administrators", async () => {
  const refused = await run(["requests", "--proxy-url", proxy.url]);
  expect(refused.code).toBe(1);
  expect(refused.err).toContain("--admin-key");
});

test("health tells up, not ready and gone apart", async () => {
  const at = ["--proxy-url", proxy.url];
  expect(await run(["health", ...at])).toMatchObject({ code: 0, out: "up\n" });
  expect(await run(["health", "--ready", ...at])).toMatchObject({ code: 0, out: "ready\n" });
  await using empty = await startProxy();
  expect((await run(["health", "--proxy-url", empty.url])).code).toBe(0);
  const notReady = await run(["health", "--ready", "--proxy-url", empty.url]);
  expect(notReady.code).toBe(3);
  expect(notReady.err).toContain("No node of 0 is healthy");
  const gone = await run(["health", "--proxy-url", "http://127.0.0.1:1"]);
  expect(gone.code).toBe(1);
  expect(gone.err).toContain("cannot reach the proxy at http://127.0.0.1:1 ");
});

test("requests cancel ends one, and says so when there is none", async () => {
  const answer = await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: {
      authorization: "Bearer sk-1",
      "content-type": "application/json",
      "x-request-id": "hangs",
    },
    body: JSON.stringify({ model: "m", prompt: "x", stream: true }),
  });
  const cancelled = await run(["requests", "cancel", "hangs", ...HERE()]);
  expect(cancelled).toMatchObject({ code: 0, out: "cancelled 1 by the id hangs\n" });
  await expect(answer.text()).rejects.toThrow();
  const again = await run(["requests", "cancel", "hangs", ...HERE()]);
  expect(again.code).toBe(1);
  expect(again.err).toContain("No request runs or waits by the id hangs");
});

test.each(["explain", "requests cancel", "nodes show"])(
  "%s takes no empty argument for one: a script's variable may be unset",
  async (command) => {
    const { code, err } = await run([...command.split(" "), "", ...HERE()]);
    expect(code).toBe(2);
    expect(err).toContain("an argument is empty");
  },
);

test("explain: who answers 200 with nothing is a stranger", async () => {
  using stranger = Bun.serve({ port: 0, fetch: () => new Response("[]") });
  for (const more of [[], ["--json"]]) {
    const ended = await run(["explain", "r", ...more, "--proxy-url", stranger.url.origin]);
    expect(ended).toMatchObject({ code: 1, out: "" });
    expect(ended.err).toContain("answers, but not as lmproxy does");
  }
});
