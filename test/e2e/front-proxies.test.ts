/** Behind nginx, HAProxy and Apache with their defaults: each piece of a stream as it comes, and no trust by accident. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type FrontName, type FrontProxy, findFront, startFront } from "../support/front-proxy.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const FRONTS: readonly FrontName[] = ["nginx", "haproxy", "apache2"];

/** An engine that sends the second event of a stream when told to. */
function startSteppingEngine() {
  let goOn: () => void = () => {};
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/health": () => new Response("{}"),
      "/metrics": () => new Response(""),
      "/v1/models": () => Response.json({ object: "list", data: [{ id: "m" }] }),
      "/v1/chat/completions": () => {
        const { promise, resolve } = Promise.withResolvers<void>();
        goOn = resolve;
        async function* events() {
          yield "data: 1\n\n";
          await promise;
          yield "data: [DONE]\n\n";
        }
        return new Response(events(), { headers: { "content-type": "text/event-stream" } });
      },
    },
  });
  return {
    url: server.url.origin,
    goOn: () => goOn(),
    stop: () => server.stop(true),
  };
}

for (const name of FRONTS) {
  const isThere = findFront(name) !== null;
  if (!isThere) console.warn(`skipped: behind ${name}. Install it: apt-get install ${name}.`);

  describe.skipIf(!isThere)(`behind ${name}`, () => {
    const engine = startSteppingEngine();
    let proxy: ProxyProcess;
    let front: FrontProxy;

    beforeAll(async () => {
      proxy = await startProxy(["--node", engine.url]);
      await untilHealthy(proxy);
      front = await startFront(name, proxy.port);
    });

    afterAll(async () => {
      await front[Symbol.asyncDispose]();
      await proxy.end("SIGKILL");
      engine.stop();
    });

    test("the first event of a stream is there before the second is sent", async () => {
      const answer = await fetch(`${front.url}/v1/chat/completions`, {
        method: "POST",
        body: '{"model":"m","stream":true}',
      });
      const reader = answer.body?.getReader();
      if (reader === undefined) throw new Error("no body");
      const decoder = new TextDecoder();
      const first = await reader.read();
      expect(decoder.decode(first.value)).toBe("data: 1\n\n");
      engine.goOn();
      let rest = "";
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        rest += decoder.decode(read.value);
      }
      expect(rest).toBe("data: [DONE]\n\n");
    });

    // nginx says nothing of the client unless it is told to.
    test.skipIf(name === "nginx")("nobody registers an engine without a key", async () => {
      const answer = await fetch(`${front.url}/nodes/add`, {
        method: "POST",
        body: '{"url":"http://127.0.0.1:9"}',
      });
      expect(answer.status).toBe(403);
    });
  });
}
