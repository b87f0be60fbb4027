/** The client of these suites and of the soak: one that hangs by itself would be taken for the proxy. */
import { expect, test } from "bun:test";
import { rawPost } from "../support/raw-client.ts";

test("a client that is told to read before it is connected reads", async () => {
  await using server = Bun.serve({ port: 0, fetch: () => new Response("ok") });
  const exchange = rawPost(server.port ?? 0, "/", {}, { paused: true });
  exchange.resume();
  expect((await exchange.ended).status).toBe(200);
});
