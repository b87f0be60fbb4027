/** `lmproxy nodes` against a real proxy and real engines. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { FOR_CLIENTS, TEST_CERTIFICATE, TEST_KEY, TLS_FLAGS } from "../support/tls/files.ts";
import { until } from "../support/until.ts";
import { run, startEngine, startProxy } from "./program.ts";

setDefaultTimeout(60_000);
const UNREACHABLE = "http://127.0.0.1:9";

test("list, add, remove: what a person does to a running proxy", async () => {
  await using proxy = await startProxy();
  await using engine = await startEngine(UNREACHABLE);
  const nodes = (...argv: string[]) => run(["nodes", ...argv, "--proxy-url", proxy.url]);

  const { out: empty } = await nodes("list");
  expect(empty).toMatch(/^no nodes yet\n/);
  expect(empty).toContain(`--proxy-url ${proxy.url}`);

  const added = await nodes(
    "add",
    `${engine.url}/`,
    "--model",
    "m",
    "--role",
    "hybrid",
    "--speed",
    "2",
  );
  expect(added.code).toBe(0);
  expect(added.out).toContain(engine.url);
  const { out: listed } = await nodes("list");
  expect(listed).toMatch(/^node +state +since +in-flight/);
  expect(listed).toMatch(
    new RegExp(`^${engine.url} +(?:starting|healthy) +\\S+ \\w+ +0\\b.*\n  serves m$`, "m"),
  );

  expect((await nodes("remove", engine.url)).code).toBe(0);
  expect((await nodes("list")).out).not.toContain(engine.url);
});

test("terminate ends the engine, and says so when it refuses", async () => {
  await using proxy = await startProxy();
  await using willing = await startEngine(proxy.url, ["--allow-terminate-by-client"]);
  await using unwilling = await startEngine(proxy.url);
  const nodes = (...argv: string[]) => run(["nodes", ...argv, "--proxy-url", proxy.url]);

  expect((await nodes("terminate", willing.url)).code).toBe(0);
  expect((await willing.program.finished()).code).toBe(0);

  const refused = await nodes("terminate", "--all");
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/^lmproxy: the proxy refused \(502\): .*\n$/);
  expect(refused.err).toContain(unwilling.url);
});

test("drain --wait waits for what runs, and gives up after its time limit", async () => {
  await using proxy = await startProxy();
  await using engine = await startEngine(proxy.url, ["--time-scale", "20"]);
  const nodes = (...argv: string[]) => run(["nodes", ...argv, "--proxy-url", proxy.url]);
  const request = new AbortController();
  const answer = await fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    signal: request.signal,
    body: JSON.stringify({
      model: "m",
      messages: [{ role: "user", content: "hi" }],
      stream: true,
      max_tokens: 4000,
      ignore_eos: true,
    }),
  });
  expect(answer.status).toBe(200);

  const impatient = await nodes("drain", engine.url, "--wait", "--timeout", "0.05");
  expect(impatient.code).toBe(1);
  expect(impatient.err).toContain("still has 1 in flight");

  const patient = nodes("drain", engine.url, "--wait");
  request.abort();
  expect(await patient).toMatchObject({
    code: 0,
    out: expect.stringContaining("nothing is in flight"),
  });
  // Held until here: an answer that nobody reads is collected, and its request with it.
  await answer.body?.cancel().catch(() => {});
});

test.each([
  ["undrain", /no longer drains: it is (?:starting|healthy) again, with 1 in flight\n$/],
  ["remove", /no longer drains: it was removed, and what ran on it may go on\n$/],
])("drain --wait does not call a node drained that others %s meanwhile", async (command, says) => {
  await using proxy = await startProxy();
  await using engine = await startEngine(proxy.url, ["--time-scale", "20"]);
  const at = ["--proxy-url", proxy.url];
  const answer = await fetch(`${proxy.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      ...{ model: "m", prompt: "hi", stream: true },
      ...{ max_tokens: 4000, ignore_eos: true },
    }),
  });
  expect(answer.status).toBe(200);
  const waiting = run(["nodes", "drain", engine.url, "--wait", ...at]);
  await until("it drains", async () => {
    const status = await (await fetch(`${proxy.url}/nodes/status`)).text();
    return status.includes('"draining"');
  });
  expect((await run(["nodes", command, engine.url, ...at])).code).toBe(0);
  const { code, out, err } = await waiting;
  expect([code, out]).toEqual([1, ""]);
  expect(err).toMatch(says);
  await answer.body?.cancel().catch(() => {});
});

test("the admin key is asked for, taken from flag, file or variable, and never shown", async () => {
  await using proxy = await startProxy(["--admin-key", "canary-key"]);
  const list = ["nodes", "list", "--proxy-url", proxy.url];
  const refused = await run(list);
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(
    /^lmproxy: the proxy refused \(401\): .*; give its key with --admin-key\n$/,
  );
  const wrong = await run([...list, "--admin-key", "canary-wrong"]);
  expect(wrong.code).toBe(1);
  expect(wrong.err).not.toContain("canary");
  expect((await run([...list, "--admin-key", "canary-key"])).code).toBe(0);
  expect((await run(list, { LMPROXY_ADMIN_KEY: "canary-key" })).code).toBe(0);
});

test("a proxy that cannot be reached, or is none, is one line and exit code 1", async () => {
  const unreachable = await run(["nodes", "list", "--proxy-url", UNREACHABLE]);
  expect(unreachable).toEqual({
    out: "",
    err: `lmproxy: cannot reach the proxy at ${UNREACHABLE} (ECONNREFUSED); choose another with --proxy-url\n`,
    code: 1,
  });
  using stranger = Bun.serve({ port: 0, fetch: () => new Response("<html>hello</html>") });
  const strange = await run(["nodes", "list", "--proxy-url", stranger.url.origin]);
  expect(strange.code).toBe(1);
  expect(strange.err).toContain("not as lmproxy does");
  await using engine = await startEngine(UNREACHABLE);
  const { err, code } = await run(["nodes", "list", "--proxy-url", engine.url]);
  expect(code).toBe(1);
  expect(err).toBe(
    `lmproxy: ${engine.url} is an engine, not the proxy; give the proxy's own address with --proxy-url\n`,
  );
});

test.each([
  "nodes add http://10.0.0.7:1",
  "nodes remove http://10.0.0.7:1",
  "nodes drain http://10.0.0.7:1 --wait",
  "nodes undrain http://10.0.0.7:1",
  "nodes terminate --all",
  "upgrade",
  "health",
  "health --ready",
])("who answers 200 to everything has not done it: %s", async (command) => {
  for (const body of ["<html>hello</html>", "{}", "null"]) {
    using stranger = Bun.serve({ port: 0, fetch: () => new Response(body) });
    const ended = await run([...command.split(" "), "--proxy-url", stranger.url.origin]);
    expect(ended).toMatchObject({ code: 1, out: "" });
    expect(ended.err).toContain("answers, but not as lmproxy does");
  }
});

test("what a proxy in LMDeploy's place says of a change is shown", async () => {
  await using proxy = await startProxy(["--as", "lmdeploy"]);
  const nodes = (...argv: string[]) => run(["nodes", ...argv, "--proxy-url", proxy.url]);
  expect((await nodes("add", UNREACHABLE)).out).toBe("Added successfully\n");
  expect((await nodes("remove", UNREACHABLE)).out).toBe("Deleted successfully\n");
});

test("a certificate that is for no server is not taken for an outage", async () => {
  await using proxy = await startProxy(["--tls-key", TEST_KEY, "--tls-cert", FOR_CLIENTS]);
  const env = { NODE_EXTRA_CA_CERTS: FOR_CLIENTS };
  const { err } = await run(["nodes", "list", "--proxy-url", proxy.url], env);
  expect(err).toMatch(/is not trusted \(INVALID_PURPOSE\); it was not made for a server.*\n$/);
});

test("a wrong scheme and a certificate that is not trusted are told from an outage", async () => {
  await using plain = await startProxy();
  const secure = await startProxy([...TLS_FLAGS, "--host", "0.0.0.0"]);
  await using _secure = secure;
  const list = (url: string, env = {}) => run(["nodes", "list", "--proxy-url", url], env);
  const [asHttps, asHttp] = [
    plain.url.replace("http:", "https:"),
    secure.url.replace("https:", "http:"),
  ];
  expect((await list(asHttps)).err).toBe(
    `lmproxy: the proxy speaks another scheme; give --proxy-url ${plain.url}\n`,
  );
  expect((await list(asHttp)).err).toBe(
    `lmproxy: the proxy speaks another scheme; give --proxy-url ${secure.url}\n`,
  );
  expect((await list(secure.url)).err).toMatch(
    /^lmproxy: the certificate of https:\S+ is not trusted \(\w+\); .*NODE_EXTRA_CA_CERTS\n$/,
  );
  const trusting = { NODE_EXTRA_CA_CERTS: TEST_CERTIFICATE };
  expect((await list(secure.url, trusting)).code).toBe(0);
  // Another name than those that it is for.
  const unnamed = secure.url.replace(/127\.0\.0\.1|localhost/, "127.0.0.2");
  expect((await list(unnamed, trusting)).err).toMatch(
    /is not trusted \(\w+\); .*name that it is for\n$/,
  );
  for (const ready of [[], ["--ready"]]) {
    const health = (url: string, env = {}) => run(["health", "--proxy-url", url, ...ready], env);
    expect((await health(asHttp)).err).toContain("the proxy speaks another scheme");
    expect((await health(secure.url)).err).toMatch(/ is not trusted .*NODE_EXTRA_CA_CERTS\n$/);
  }
});

test("with DistServe the list, the page and who starts it say which role there is none of", async () => {
  await using engine = await startEngine("http://127.0.0.1:9", ["--role", "Decode"]);
  const flags = [
    "--serving-strategy",
    "DistServe",
    "--decode",
    engine.url,
    "--health-interval",
    "0.1",
  ];
  await using proxy = await startProxy(flags);
  await proxy.program.until(/^ +nodes +1, none of role Prefill yet: .*--prefill$/m);
  const list = () => run(["nodes", "list", "--proxy-url", proxy.url]);
  await until("its engine is well", async () => / healthy .* Decode /.test((await list()).out));
  const { code, out } = await list();
  expect(code).toBe(0);
  expect(out).toEndWith("\nnot ready: No Prefill node of 1 is healthy.\n");
  const live = await fetch(`${proxy.url}/debug/live`);
  const first = new TextDecoder().decode((await live.body?.getReader().read())?.value);
  expect(first).toContain('"needed":["Prefill","Decode"]');
});
