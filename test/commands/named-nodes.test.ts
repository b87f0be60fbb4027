/** Nodes by their names: in the log, in every answer about them, and to be told what to do. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../state/entries.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";
import { run } from "./program.ts";

setDefaultTimeout(30_000);

const serveOne = () =>
  Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: { "/v1/models": Response.json({ object: "list", data: [{ id: "m" }] }) },
    fetch: () => Response.json({ choices: [{ index: 0, text: "a", finish_reason: "stop" }] }),
  });
const first = serveOne();
const second = serveOne();
const folder = temporaryFolder();
const state = join(folder.path, "nodes.json");
let proxy: ProxyProcess;

beforeAll(async () => {
  proxy = await startProxy(["--node", `h100-07=${first.url.origin}`, "--state", state]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await Promise.all([first.stop(true), second.stop(true)]);
  folder[Symbol.dispose]();
});

const cli = (...argv: string[]) => run([...argv, "--proxy-url", proxy.url]);

async function post(path: string, body: object, headers: Record<string, string> = {}) {
  return await fetch(proxy.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

test("a name of the flags stands in events, lines of requests, and whatever shows a node", async () => {
  const asked = { model: "m", prompt: "x" };
  expect((await post("/v1/completions", asked, { "x-request-id": "named" })).status).toBe(200);
  const lines = await until("the request has its line", () => {
    const read = proxy.log().trim().split("\n");
    return read.some((line) => line.includes('"msg":"request"')) && read;
  });
  const parsed = lines.map((line): unknown => JSON.parse(line));
  const of = { node: first.url.origin, node_name: "h100-07" };
  expect(parsed).toContainEqual(expect.objectContaining({ msg: "node added", ...of }));
  expect(parsed).toContainEqual(expect.objectContaining({ msg: "request", id: "named", ...of }));
  expect(await proxy.status()).toMatchObject({ [first.url.origin]: { name: "h100-07" } });
  expect((await cli("nodes", "list")).out).toMatch(
    new RegExp(`^h100-07 +healthy .*\n  ${first.url.origin}\n  serves m$`, "m"),
  );
  expect((await cli("explain", "named")).out).toContain(`h100-07 (${first.url.origin}): answered`);
  const metrics = await (await fetch(`${proxy.url}/metrics`)).text();
  expect(metrics).toContain(`lmproxy_node_info{node="${first.url.origin}",name="h100-07"`);
});

test("a name is given when a node is added, kept by its engine, in the file, and nobody else's", async () => {
  const { origin } = second.url;
  const taken = await cli("nodes", "add", origin, "--name", "h100-07");
  expect(taken.err).toContain(`${first.url.origin} is called h100-07: choose another name`);
  const wrong = await post("/nodes/add", { url: origin, name: "http://x" });
  expect([wrong.status, await wrong.text()]).toEqual([400, expect.stringContaining("name")]);
  expect((await run(["nodes", "add", origin, "--name", "a b"])).err).toContain(
    "--name must be 1 to",
  );

  expect((await cli("nodes", "add", origin, "--name", "h100-08")).code).toBe(0);
  // Engines register anew and know no names.
  expect((await post("/nodes/add", { url: origin })).status).toBe(200);
  expect((await proxy.status())[origin]).toMatchObject({ name: "h100-08" });
  await until("it is kept", () => readFileSync(state, "utf8").includes('"name": "h100-08"'));

  expect(await cli("nodes", "drain", "h100-08", "--wait")).toMatchObject({ code: 0 });
  expect((await proxy.status())[origin]).toMatchObject({ state: "draining" });
  expect((await cli("nodes", "remove", "h100-08")).out).toContain(origin);
  expect((await cli("nodes", "remove", "h100-08")).err).toContain("No node is called h100-08");
});

test("two nodes of one name are a mistake of the flags", async () => {
  const two = ["--node", "a=http://127.0.0.1:1", "a=http://127.0.0.1:2"];
  const { code, err } = await run(["serve", "--port", "0", ...two]);
  expect([code, err]).toEqual([
    2,
    "lmproxy: http://127.0.0.1:1 and http://127.0.0.1:2 cannot both be called a.\n",
  ]);
});
