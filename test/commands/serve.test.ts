import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { TEST_KEY } from "../support/tls/files.ts";
import { until } from "../support/until.ts";
import { MAIN, Program, run, startEngine, startProxy } from "./program.ts";

// Some start the program nine times, which takes a busy machine more than 5 s.
setDefaultTimeout(60_000);

test("port 0 picks a port and prints it; SIGTERM ends it with 0", async () => {
  await using proxy = await startProxy();
  const answer = await fetch(`${proxy.url}/health`);
  expect(await answer.json()).toEqual({ status: "healthy" });
  proxy.program.kill("SIGTERM");
  expect((await proxy.program.finished()).code).toBe(0);
});

test.skipIf(process.platform !== "linux")(
  "runs with Bun's limit of 256 fetches lifted",
  async () => {
    await using proxy = await startProxy();
    const environment = readFileSync(`/proc/${proxy.program.pid}/environ`, "utf8").split("\0");
    expect(environment).toContain("BUN_CONFIG_MAX_HTTP_REQUESTS=65535");
  },
);

test("a log that cannot be written does not end it", async () => {
  const serve = "serve --host 127.0.0.1 --port 0 --node http://127.0.0.1:9";
  const line = `exec ${process.execPath} ${MAIN} ${serve} 2> /dev/full`;
  await using proxy = Bun.spawn(["sh", "-c", line], { stdout: "pipe", killSignal: "SIGKILL" });
  const { value } = await proxy.stdout.getReader().read();
  const url = /listens on (\S+)/.exec(new TextDecoder().decode(value))?.[1];
  // By now the node's joining has been logged, and what became of the line has come back.
  expect((await fetch(`${url}/nodes/status`)).status).toBe(200);
  expect(proxy.exitCode).toBeNull();
});

test("engines are reached directly, whatever HTTP proxy the environment names", async () => {
  const env = { HTTP_PROXY: "http://127.0.0.1:9", http_proxy: "http://127.0.0.1:9" };
  await using proxy = await startProxy([], env);
  await using _engine = await startEngine(proxy.url);
  const answer = await fetch(`${proxy.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "hi" }] }),
  });
  expect(answer.status).toBe(200);
});

test("two proxies do not share a port", async () => {
  await using first = await startProxy();
  const port = new URL(first.url).port;
  const { err, code } = await run(["--host", "127.0.0.1", "--port", port]);
  expect([err, code]).toEqual([
    `lmproxy: port ${port} (proxy) is in use; choose another with --port\n`,
    1,
  ]);
});

test("a start that fails says all the same what it has done to the state file", async () => {
  await using first = await startProxy();
  const directory = await mkdtemp(join(tmpdir(), "lmproxy-serve-"));
  const file = join(directory, "state.json");
  await writeFile(file, "not JSON");
  const { port } = new URL(first.url);
  const { err, code } = await run(["--host", "127.0.0.1", "--port", port, "--state", file]);
  expect(err).toContain(`port ${port} (proxy) is in use`);
  expect(err).toContain("state file set aside");
  expect(err).toContain(`${file}.damaged`);
  expect(code).toBe(1);
  await rm(directory, { recursive: true });
});

test.each(["SIGHUP", "SIGUSR1", "SIGUSR2"] as const)("%s does not end it", async (signal) => {
  await using proxy = await startProxy();
  proxy.program.kill(signal);
  proxy.program.kill(signal);
  expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
  proxy.program.kill("SIGTERM");
  expect((await proxy.program.finished()).code).toBe(0);
});

test("signals that come before it serves end nothing, and are seen to when it does", async () => {
  const directory = await mkdtemp(join(tmpdir(), "lmproxy-serve-"));
  const keys = join(directory, "keys");
  const next = join(directory, "next");
  await writeFile(next, "new-key");
  Bun.spawnSync(["mkfifo", keys]);
  const place = ["--host", "127.0.0.1", "--port", "0"];
  await using program = new Program(["serve", ...place, "--api-keys", `@${keys}`]);
  // It waits for its keys meanwhile.
  const signals = ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const;
  const caught = () =>
    BigInt(
      `0x${/^SigCgt:\s*(\S+)/m.exec(readFileSync(`/proc/${program.pid}/status`, "utf8"))?.[1]}`,
    );
  await until("they would not end it", () =>
    signals.every((signal) => (caught() & (1n << BigInt(constants.signals[signal] - 1))) !== 0n),
  );
  for (const signal of signals) program.kill(signal);
  Bun.spawnSync(["sh", "-c", 'exec 3>"$0" && mv "$1" "$0" && echo old-key >&3', keys, next]);
  const [, url = ""] = await program.until(/^lmproxy listens on (\S+)$/m);
  const statusOf = async (key: string) =>
    (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status;
  await until("what lies there now counts", async () => (await statusOf("new-key")) === 200);
  expect(await statusOf("old-key")).toBe(401);
  program.kill("SIGTERM");
  const { err, code } = await program.finished();
  expect(code).toBe(0);
  for (const signal of ["SIGUSR1", "SIGUSR2"]) expect(err).toContain(`${signal} does nothing`);
  await rm(directory, { recursive: true });
});

test("a worker that cannot be started is one line and exit code 1", async () => {
  const directory = await mkdtemp(join(tmpdir(), "lmproxy-serve-"));
  const main = join(directory, "main.ts");
  const missing = 'process.execPath = "/missing/lmproxy";';
  await writeFile(main, `${missing} await import(${JSON.stringify(MAIN)});`);
  const place = ["--host", "127.0.0.1", "--port", "0", "--workers", "1"];
  const child = Bun.spawn([process.execPath, main, "serve", ...place], {
    stdout: "ignore",
    stderr: "pipe",
    // Else it would replace itself by what is missing.
    env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "65535" },
  });
  expect(await child.stderr.text()).toMatch(
    /^lmproxy: a worker cannot be started: ENOENT.*\/missing\/lmproxy.*\n$/,
  );
  expect(await child.exited).toBe(1);
  await rm(directory, { recursive: true });
});

test("a port in use is one line and exit code 1", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  try {
    const address = taken.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const { err, code } = await run(["--host", "127.0.0.1", "--port", String(port)]);
    expect(err).toBe(`lmproxy: port ${port} (proxy) is in use; choose another with --port\n`);
    expect(code).toBe(1);
  } finally {
    taken.close();
  }
});

test("a host that is not this machine's is one line and exit code 1", async () => {
  const { err, code } = await run(["--host", "192.0.2.1", "--port", "0"]);
  expect(err).toBe(
    "lmproxy: 192.0.2.1 is no address of this machine; choose another with --host\n",
  );
  expect(code).toBe(1);
});

test("a host that nobody knows is one line and exit code 1", async () => {
  const { err, code } = await run(["--host", "nobody.invalid", "--port", "0"]);
  expect(err).toMatch(/^lmproxy: cannot listen on nobody\.invalid.*--host\n$/);
  expect(code).toBe(1);
});

test.each(["192.0.2.1", "nobody.invalid"])(
  "of the metrics' host %s the flag is named that gave it",
  async (host) => {
    const flags = ["--host", "127.0.0.1", "--port", "0", "--metrics-port", "0"];
    const { err, code } = await run([...flags, "--metrics-host", host]);
    expect(err).toMatch(/^lmproxy: .*; choose another with --metrics-host\n$/);
    expect(code).toBe(1);
  },
);

test("--print-config shows what the proxy uses, and refuses what the start refuses", async () => {
  const shown = await run(["--print-config"], { LMPROXY_STRATGY: "random" });
  expect(shown.out).toMatch(/^--trust-nodes +127\.0\.0\.0\/8 .* default$/m);
  expect(shown.out).toMatch(/^--max-body-memory +\d+\w* +default$/m);
  expect(shown.out).toMatch(/^--log-format +json +default$/m);
  expect(shown.err).toContain("did you mean LMPROXY_STRATEGY?");
  for (const flags of [
    ["--node", "http://169.254.169.254"],
    ["--node", "http://a:1/v1"],
    ["--state", "/"],
    ["--tls-key", TEST_KEY, "--tls-cert", TEST_KEY],
  ]) {
    const checked = await run(["--print-config", ...flags]);
    expect(checked).toMatchObject({ out: "", code: 2 });
    expect(checked).toEqual(await run(["--port", "0", ...flags]));
  }
});

test("a bad certificate is one line, without the key", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lmproxy-tls-"));
  try {
    const file = join(folder, "bad.pem");
    await Bun.write(file, "canary: no certificate at all\n");
    const { out, err, code } = await run(["--port", "0", "--tls-key", file, "--tls-cert", file]);
    expect({ out, code }).toEqual({ out: "", code: 2 });
    expect(err).toMatch(/^lmproxy: .*--tls-key.*--tls-cert.*\n$/);
    expect(err).not.toContain("canary");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("keys may come from a pipe, which is read only once", async () => {
  const main = join(import.meta.dir, "../../src/main.ts");
  const argv = ["serve", "--print-config", "--api-keys", "@/dev/stdin"];
  const program = Bun.spawn([process.execPath, main, ...argv], {
    stdin: new Blob(["sk-1\nsk-2\n"]),
    stdout: "pipe",
    stderr: "inherit",
  });
  expect(await program.stdout.text()).toMatch(/^--api-keys +\*\*\* \*\*\* +flag --api-keys$/m);
});

test("keys are printed nowhere", async () => {
  const env = { LMPROXY_UPSTREAM_API_KEY: "canary-3" };
  const keys = ["--api-keys", "canary-1", "--admin-key", "canary-2"];
  const { out } = await run(["--print-config", ...keys], env);
  expect(out).not.toContain("canary");
  await using program = new Program(
    ["--host", "127.0.0.1", "--port", "0", "--log-level", "trace", ...keys],
    env,
  );
  await program.until(/listens on/);
  program.kill("SIGTERM");
  const { out: served, err } = await program.finished();
  expect(served + err).not.toContain("canary");
});

test.each([
  ["/sleep", "answered already"],
  ["/v1/update_weights", "changes an engine"],
  ["/x/wake_up", "changes an engine"],
  ["/update_weights_from_disk", "changes an engine"],
  ["/collective_rpc", "changes an engine"],
  ["/terminate", "changes an engine"],
  ["/v1/chat/completions", "answered already"],
  ["/a/../b", "--forward must be"],
  ["a", "--forward must be"],
])("--forward %s is refused, by --print-config too", async (path, why) => {
  const { err, code } = await run(["--print-config", "--forward", path]);
  expect(code).toBe(2);
  expect(err).toContain(why);
});
