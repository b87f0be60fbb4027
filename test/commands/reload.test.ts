/** What a running proxy takes from its files anew, and what it says of the rest. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../state/entries.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { EXPIRED_ELSEWHERE, TEST_CERTIFICATE, TEST_KEY } from "../support/tls/files.ts";
import { until } from "../support/until.ts";
import { run } from "./program.ts";

setDefaultTimeout(60_000);

const folder = temporaryFolder();
const file = (name: string) => join(folder.path, name);
/** What the engine was sent as keys, by path. */
const sent = new Map<string, string>();
const engine = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch({ url, headers }) {
    const { pathname } = new URL(url);
    sent.set(pathname, headers.get("authorization") ?? "");
    if (pathname === "/v1/models") return Response.json({ object: "list", data: [{ id: "m" }] });
    return Response.json({ choices: [{ index: 0, text: "a" }] });
  },
});
let proxy: ProxyProcess;

beforeAll(async () => {
  writeFileSync(file("clients"), "old-client\nteam-b:other\n");
  writeFileSync(file("admin"), "old-admin");
  writeFileSync(file("upstream"), "old-upstream");
  copyFileSync(TEST_KEY, file("key.pem"));
  copyFileSync(TEST_CERTIFICATE, file("cert.pem"));
  proxy = await startProxy([
    ...["--node", engine.url.origin, "--health-interval", "0.1"],
    ...["--api-keys", `@${file("clients")}`, "--admin-key", `@${file("admin")}`],
    ...["--upstream-api-key", `@${file("upstream")}`],
    ...["--tls-key", file("key.pem"), "--tls-cert", file("cert.pem")],
  ]);
  await until("the node is healthy", async () => (await ask("old-client")) === 200);
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await engine.stop(true);
  folder[Symbol.dispose]();
});

const trust = { tls: { rejectUnauthorized: false } };

async function ask(key: string): Promise<number> {
  const answer = await fetch(`${proxy.url}/v1/completions`, {
    ...trust,
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: "m", prompt: "x" }),
  });
  await answer.text();
  return answer.status;
}

function reload(adminKey: string) {
  const flags = ["--proxy-url", proxy.url, "--admin-key", adminKey];
  return run(["reload", ...flags], { NODE_EXTRA_CA_CERTS: TEST_CERTIFICATE });
}

async function metric(adminKey: string): Promise<string | undefined> {
  const headers = { authorization: `Bearer ${adminKey}` };
  const page = await (await fetch(`${proxy.url}/metrics`, { ...trust, headers })).text();
  return /^lmproxy_config_last_reload_success (\d)$/m.exec(page)?.[1];
}

test("keys of files count anew: clients', the admin's, and the one that engines get", async () => {
  expect(await reload("old-admin")).toMatchObject({
    code: 0,
    out: "reloaded; nothing has changed\n",
  });
  writeFileSync(file("clients"), "new-client\n");
  writeFileSync(file("admin"), "new-admin");
  writeFileSync(file("upstream"), "new-upstream");
  expect((await reload("old-admin")).out).toBe(
    "reloaded; changed: --api-keys, --admin-key, --upstream-api-key\n",
  );
  expect([await ask("old-client"), await ask("other"), await ask("new-client")]).toEqual([
    401, 401, 200,
  ]);
  expect(sent.get("/v1/completions")).toBe("Bearer new-upstream");
  await until("its own questions have it", () => sent.get("/health") === "Bearer new-upstream");
  expect((await reload("old-admin")).err).toContain("401");
  expect(await metric("new-admin")).toBe("1");
  const changed = '"changed":"--api-keys --admin-key --upstream-api-key"';
  await until("it is logged", () => proxy.log().includes(changed));
});

test("a bad file changes nothing, is said and counted, until a good one is there", async () => {
  writeFileSync(file("clients"), "newer-client\n");
  writeFileSync(file("admin"), "\n\n");
  const refused = await reload("new-admin");
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/Nothing has changed: --admin-key: the file ".*" holds no key\./);
  expect([await ask("newer-client"), await ask("new-client")]).toEqual([401, 200]);
  expect(await metric("new-admin")).toBe("0");
  // By a signal nobody is there to be told, but for the log.
  const before = proxy.log().length;
  proxy.process.kill("SIGHUP");
  await until("it is said", () => proxy.log().slice(before).includes("configuration not reloaded"));
  writeFileSync(file("admin"), "new-admin");
  proxy.process.kill("SIGHUP");
  await until("the new key counts", async () => (await ask("newer-client")) === 200);
  expect(await metric("new-admin")).toBe("1");
  expect(proxy.log()).not.toMatch(/newer-client|new-admin/);
});

test("with a certificate that cannot be served, keys stay too; with a good one, both change", async () => {
  writeFileSync(file("clients"), "newest-client\n");
  writeFileSync(file("cert.pem"), "no certificate");
  expect((await reload("new-admin")).err).toContain("Nothing has changed: the files of --tls-key");
  expect([await ask("newest-client"), await ask("newer-client")]).toEqual([401, 200]);
  copyFileSync(EXPIRED_ELSEWHERE, file("cert.pem"));
  expect((await reload("new-admin")).out).toBe("reloaded; changed: --api-keys, --tls-cert\n");
  expect([await ask("newest-client"), await ask("newer-client")]).toEqual([200, 401]);
});

test("a file that has become a pipe changes nothing, and nobody waits for its writer", async () => {
  const keys = file("keys");
  writeFileSync(keys, "key");
  await using plain = await startProxy(["--admin-key", `@${keys}`]);
  rmSync(keys);
  expect(Bun.spawnSync(["mkfifo", keys]).exitCode).toBe(0);
  const reloaded = await fetch(`${plain.url}/reload`, {
    method: "POST",
    headers: { authorization: "Bearer key" },
    signal: AbortSignal.timeout(5_000),
  });
  expect(await reloaded.text()).toContain("(it is no regular file)");
  expect(reloaded.status).toBe(400);
});
