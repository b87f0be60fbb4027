/** Nodes by their names: in the log, in every answer about them, and to be told what to do. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../state/entries.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";
import { Program, run, runForOneByte } from "./program.ts";

setDefaultTimeout(60_000);

const serveOne = () =>
  Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/v1/models": Response.json({ object: "list", data: [{ id: "m" }] }),
      "/metrics": new Response(null, { status: 404 }),
    },
    fetch: async (request) => {
      const status = (await request.text()).includes("fail") ? 500 : 200;
      return Response.json({ choices: [{ index: 0, text: "a" }] }, { status });
    },
  });
const first = serveOne();
const second = serveOne();
const folder = temporaryFolder();
const state = join(folder.path, "nodes.json");
let proxy: ProxyProcess;

beforeAll(async () => {
  const quick = ["--metrics-interval", "0.5"];
  proxy = await startProxy(["--node", `h100-07=${first.url.origin}`, "--state", state, ...quick]);
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
  expect((await cli("doctor")).out).toContain(`metrics-off: h100-07 (${first.url.origin})\n`);
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

  const two = await cli("nodes", "add", `h100-08=${origin}`, "--name", "h100-09");
  expect(two).toMatchObject({ code: 2, err: expect.stringContaining("h100-08 and h100-09") });

  // As --node has it, and by a flag of its own.
  expect((await cli("nodes", "add", `h100-08=${origin}`)).code).toBe(0);
  expect((await proxy.status())[origin]).toMatchObject({ name: "h100-08" });
  expect((await cli("nodes", "add", origin, "--name", "h100-08")).code).toBe(0);
  // Engines register anew and know no names.
  expect((await post("/nodes/add", { url: origin })).status).toBe(200);
  expect((await proxy.status())[origin]).toMatchObject({ name: "h100-08" });
  await until("it is kept", () => readFileSync(state, "utf8").includes('"name": "h100-08"'));

  const drained = await cli("nodes", "drain", "h100-08", "--wait");
  expect(drained.out).toContain("\nlmproxy nodes undrain h100-08 brings it back\n");
  expect((await proxy.status())[origin]).toMatchObject({ state: "draining" });
  await until("that is kept", () => readFileSync(state, "utf8").includes('"draining": true'));
  expect((await cli("nodes", "undrain", "h100-08")).out).toContain("as soon as its health probe");
  await untilHealthy(proxy, 2);
  await until("so is that", () => !readFileSync(state, "utf8").includes('"draining": true'));
  expect((await cli("nodes", "undrain", "h100-08")).out).toBe("h100-08 is healthy\n");
  expect((await cli("nodes", "remove", "h100-08")).out).toContain(origin);
  expect((await cli("nodes", "remove", "h100-08")).err).toContain("No node is called h100-08");
});

test("show tells all of a node, and of the attempts that failed there", async () => {
  const asked = { model: "m", prompt: "fail" };
  expect((await post("/v1/completions", asked, { "x-request-id": "bad" })).status).toBe(500);
  const shown = await until("its failure is known", async () => {
    const { out } = await cli("nodes", "show", "h100-07");
    return out.includes("bad") && out;
  });
  expect(shown).toMatch(new RegExp(`^${first.url.origin}\n  role +Hybrid\n  models +m\n`));
  expect(shown).toMatch(/\n {2}name +h100-07\n/);
  expect(shown).toMatch(/\nat +outcome +request\n\S+Z +answered 500 +bad\n/);
  const json: unknown = JSON.parse((await cli("nodes", "show", first.url.origin, "--json")).out);
  expect(json).toMatchObject({
    ...{ url: first.url.origin, name: "h100-07", errors_5m: 1 },
    failures: [{ id: "bad", outcome: "answered", status: 500 }],
  });
  expect((await cli("nodes", "show", "h100-99")).err).toContain("No node is called h100-99");
});

test("list sorts, prints JSON, and looks again and again", async () => {
  await post("/nodes/add", { url: second.url.origin, name: "h100-08" });
  await untilHealthy(proxy, 2);
  const listed: object = JSON.parse((await cli("nodes", "list", "--json", "--sort", "errors")).out);
  expect(Object.keys(listed)).toEqual([first.url.origin, second.url.origin]);
  await using watching = new Program([
    ...["nodes", "list", "--watch", "--json", "--proxy-url", proxy.url],
  ]);
  await watching.until(/h100-07.*\n[\s\S]*h100-07.*\n/);
  watching.kill("SIGINT");
  expect(await watching.finished()).toMatchObject({ code: 0, err: "" });
  expect((await run(["nodes", "list", "--sort", "size"])).err).toContain("--sort must be one of");
  expect((await run(["nodes", "list", "--prot", "1"])).err).toContain("did you mean --proxy-url?");
});

test.each([
  [
    "two nodes of one name",
    ["--node", "a=http://127.0.0.1:1", "a=http://127.0.0.1:2"],
    "http://127.0.0.1:1 and http://127.0.0.1:2 cannot both be called a.",
  ],
  [
    "one node of two names",
    ["--node", "a=http://127.0.0.1:1", "b=http://127.0.0.1:1/"],
    "http://127.0.0.1:1 cannot be called both a and b.",
  ],
  [
    "one node of two roles",
    [
      ...["--serving-strategy", "DistServe"],
      ...["--prefill", "http://127.0.0.1:1", "--decode", "http://127.0.0.1:1"],
    ],
    "http://127.0.0.1:1 cannot be both a Prefill and a Decode node.",
  ],
])("a mistake of the flags: %s", async (_what, flags, message) => {
  // --print-config refuses what the start refuses, and ends where that accepts.
  const { code, err } = await run(["serve", "--port", "0", "--print-config", ...flags]);
  expect([code, err]).toEqual([2, `lmproxy: ${message}\n`]);
});

test("list --watch ends when nobody reads it any more", async () => {
  const argv = ["--watch", "--json", "--proxy-url", "http://127.0.0.1:9"];
  expect(await runForOneByte(["nodes", "list", ...argv])).toBe("0\n");
});
