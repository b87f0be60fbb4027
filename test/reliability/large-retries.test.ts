/** The memory of a large body is given back early: not before the last attempt has it. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const REQUESTS = 12;
const BODY_BYTES = 2_000_000;

/** Names of requests that an engine has refused once already. */
const refused = new Set<string>();
const engines = times(4, null).map(() =>
  Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    maxRequestBodySize: 2 * BODY_BYTES,
    routes: {
      "/health": new Response(),
      "/v1/models": Response.json({ object: "list", data: [{ id: "tiny", object: "model" }] }),
      "/metrics": new Response("", { status: 404 }),
    },
    async fetch(request) {
      const body = await request.text();
      const name = /"name":"([^"]*)"/.exec(body)?.[1] ?? "";
      if (!refused.has(name)) {
        refused.add(name);
        return new Response("", { status: 500 });
      }
      return new Response(Bun.hash(body).toString());
    },
  }),
);

afterAll(() => Promise.all(engines.map((engine) => engine.stop(true))));

function bodyOf(index: number): string {
  const filling = String.fromCharCode(97 + index).repeat(BODY_BYTES);
  return JSON.stringify({ model: "tiny", name: `request ${index}`, messages: filling });
}

test("a large body comes whole to the node that is asked next, many at the same time", async () => {
  const nodes = engines.flatMap(({ url }) => ["--node", url.origin]);
  await using proxy = await startProxy(nodes);
  await untilHealthy(proxy, engines.length);
  const answers = times(REQUESTS, null).map(async (_, index) => {
    const body = bodyOf(index);
    const answer = await fetch(`${proxy.url}/v1/chat/completions`, { method: "POST", body });
    return { status: answer.status, isWhole: (await answer.text()) === Bun.hash(body).toString() };
  });
  const ends = await Promise.all(answers);
  // The budget lets three a second be retried, and more of a busy model's.
  const again = ends.filter(({ status }) => status === 200);
  expect(again.length).toBeGreaterThanOrEqual(3);
  for (const end of again) expect(end.isWhole).toBe(true);
  for (const { status } of ends) expect([200, 500]).toContain(status);
});

test("a short stream to a long prompt is whole: what it asked for is known to its end", async () => {
  const said = 'data: {"choices":[{"delta":{"content":"Yes"}}]}\n\n';
  let ending = Promise.withResolvers<void>();
  await using engine = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/health": new Response(),
      "/v1/models": Response.json({ object: "list", data: [{ id: "tiny", object: "model" }] }),
      "/metrics": new Response("", { status: 404 }),
    },
    async fetch(request) {
      await request.bytes();
      const stream = async function* () {
        yield said;
        await ending.promise;
        yield "data: [DONE]\n\n";
      };
      return new Response(stream, { headers: { "content-type": "text/event-stream" } });
    },
  });
  await using proxy = await startProxy(["--node", engine.url.origin]);
  await untilHealthy(proxy, 1);
  for (const bytes of [100, 20_000, 200_000, 2_000_000]) {
    const messages = [{ role: "user", content: "x".repeat(bytes) }];
    const body = JSON.stringify({ model: "tiny", stream: true, max_tokens: 2, messages });
    ending = Promise.withResolvers();
    const answer = await fetch(`${proxy.url}/v1/chat/completions`, { method: "POST", body });
    // Its head is here: by now the proxy has given the body back.
    ending.resolve();
    expect([bytes, await answer.text()]).toEqual([bytes, `${said}data: [DONE]\n\n`]);
  }
  expect(proxy.log()).not.toContain('"outcome":"broken"');
});
