/** How a server answers once another has taken its place. */
import { expect, test } from "bun:test";
import { lastAnswers } from "../../src/http/last-answers.ts";

test("who is connected is asked to connect anew, also one who had asked before; what changes nodes goes on", async () => {
  let hasLeft = false;
  const { promise, resolve } = Promise.withResolvers<Response>();
  const options = {
    leaves: () => hasLeft,
    nodesMoved: () => hasLeft,
    table: { changesNodes: (method: string) => method === "POST" },
  };
  const early = lastAnswers(() => promise, options);
  const atOnce = lastAnswers(() => new Response("now"), options);
  const request = new Request("http://proxy/nodes/add");
  const change = new Request(request, { method: "POST" });
  const closes = async (response: Response | Promise<Response>) =>
    (await response).headers.get("connection");
  expect(await closes(atOnce(request))).toBeNull();
  expect((await atOnce(change)).status).toBe(200);
  const answered = early(request);
  hasLeft = true;
  resolve(new Response("later"));
  expect(await closes(answered)).toBe("close");
  expect(await closes(atOnce(request))).toBe("close");
  expect((await atOnce(change)).status).toBe(307);
});
