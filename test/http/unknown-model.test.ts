/** A request for a model that no engine lists: what is said depends on whether all have said what they serve. */
import { expect, test } from "bun:test";
import { fieldOf } from "../../src/page/calls.ts";
import { freePort } from "../support/free-port.ts";
import { startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

function askFor(model: string, url: string): Promise<Response> {
  const body = JSON.stringify({ model, prompt: "x" });
  return fetch(`${url}/v1/completions`, { method: "POST", body });
}

async function messageOf(answer: Response): Promise<unknown> {
  return fieldOf(await answer.json(), "error", "message");
}

test("it does not exist once all engines have said what they serve", async () => {
  const engine = startOddEngine({ model: "tiny" });
  await using proxy = await startProxy(["--node", engine.url, "--model-alias", "small=tiny"]);
  await until("its list is known", async () => {
    const [node] = Object.values(await proxy.status());
    return node?.models.includes("tiny") === true;
  });
  const answer = await askFor("other", proxy.url);
  expect(answer.status).toBe(404);
  expect(await messageOf(answer)).toBe(
    "The model `other` does not exist; served are: tiny, small.",
  );
  expect(engine.requests).toBe(0);
  await engine.stop();
});

test("it may be that of an engine that has said nothing: the client is to try again", async () => {
  const engine = startOddEngine({ model: "tiny" });
  const silent = `http://127.0.0.1:${freePort()}`;
  await using proxy = await startProxy(["--node", engine.url, "--node", silent]);
  const answer = await askFor("other", proxy.url);
  expect(answer.status).toBe(503);
  expect(answer.headers.get("retry-after")).toBe("1");
  expect(await messageOf(answer)).toContain("of 2 engines 1 have not said what they serve");
  expect(engine.requests).toBe(0);
  await engine.stop();
});

test("it is that of an engine that says so while the request waits", async () => {
  const engine = startOddEngine({ model: "tiny" });
  const port = freePort();
  await using proxy = await startProxy([
    ...["--node", engine.url, "--node", `http://127.0.0.1:${port}`],
    ...["--health-interval", "0.05"],
  ]);
  const answer = askFor("other", proxy.url);
  await until("it waits", async () => {
    const open = await (await fetch(`${proxy.url}/debug/requests`)).json();
    return fieldOf(open, 0, "phase") === "waiting";
  });
  const late = startOddEngine({ model: "other", port });
  expect((await answer).status).toBe(200);
  expect([engine.requests, late.requests]).toEqual([0, 1]);
  await engine.stop();
  await late.stop();
});
