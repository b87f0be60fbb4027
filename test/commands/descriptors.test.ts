/** Secrets behind descriptors, as the shell's <(command) hands them over, in a program that starts itself anew. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { TEST_CERTIFICATE, TEST_KEY } from "../support/tls/files.ts";
import { MAIN } from "./program.ts";

setDefaultTimeout(60_000);

/** The proxy as bash starts it: `before` its command, and `words` behind its flags. */
function startByShell(words: string, before = "", flags: readonly string[] = []) {
  const script = `${before} exec "$0" "$@" ${words}`;
  return startProxy(flags, { command: ["bash", "-c", script, process.execPath, MAIN] });
}

async function statusOf({ url }: ProxyProcess, key: string, path = "/v1/models"): Promise<number> {
  const headers = { authorization: `Bearer ${key}` };
  const method = path === "/reload" ? "POST" : "GET";
  return (await fetch(`${url}${path}`, { headers, method })).status;
}

/** What others may read of a process, and what it has open. */
function seenOf({ process: { pid } }: ProxyProcess) {
  const of = (name: string) => readFileSync(`/proc/${pid}/${name}`, "utf8");
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "closed meanwhile";
    }
  });
  return { told: of("environ") + of("cmdline"), open, input: readlinkSync(`/proc/${pid}/fd/0`) };
}

describe.skipIf(process.platform !== "linux")("keys that have no name", () => {
  test.each([
    ["one process", []],
    ["workers", ["--workers", "2"]],
  ])("are read once, kept by a reload, and told to nobody: %s", async (_, flags) => {
    const words =
      "--admin-key @<(echo canary-admin) --api-keys @<(printf 'canary-a\\ncanary-b\\n') plain";
    await using proxy = await startByShell(words, "", flags);
    const statuses = async () => [
      await statusOf(proxy, "canary-a"),
      await statusOf(proxy, "canary-b"),
      await statusOf(proxy, "plain"),
      await statusOf(proxy, "canary-c"),
      await statusOf(proxy, "canary-admin", "/nodes/status"),
      await statusOf(proxy, "canary-a", "/nodes/status"),
    ];
    expect(await statuses()).toEqual([200, 200, 200, 401, 200, 401]);
    expect(await statusOf(proxy, "canary-admin", "/reload")).toBe(200);
    expect(await statuses()).toEqual([200, 200, 200, 401, 200, 401]);

    const { told, open, input } = seenOf(proxy);
    expect(told).not.toContain("canary");
    expect(input).toBe("/dev/null");
    expect(open.filter((path) => path.endsWith(" (deleted)"))).toEqual([]);
  });

  test("are found in variables and behind a =, and beside standard input", async () => {
    const before =
      "exec 3<<<'canary-three' 5<<<canary-five <<<canary-input; LMPROXY_API_KEYS=x,@/dev/fd/3";
    const words = "--admin-key=@/proc/self/fd/5 --upstream-api-key @/dev/stdin";
    await using proxy = await startByShell(words, before);
    expect(await statusOf(proxy, "x")).toBe(200);
    expect(await statusOf(proxy, "canary-three")).toBe(200);
    expect(await statusOf(proxy, "canary-five", "/nodes/status")).toBe(200);
    expect(seenOf(proxy).told).not.toContain("canary");
  });

  const HANDED = "--tls-key <(cat test/support/tls/key.pem) --tls-cert=/dev/fd/5";
  const FD_5 = "exec 5<test/support/tls/certificate.pem;";
  test.each([
    ["<(command)", HANDED, FD_5, []],
    ["<(command), with workers", HANDED, FD_5, ["--workers", "2"]],
    [
      "a pipe",
      `--tls-key /dev/stdin --tls-cert ${TEST_CERTIFICATE}`,
      `exec < <(cat ${TEST_KEY});`,
      [],
    ],
  ])("of the certificate may be in %s, and stay at a reload", async (_, words, before, flags) => {
    await using proxy = await startByShell(words, before, flags);
    expect(proxy.url).toStartWith("https:");
    const ask = (path: string, method = "GET") =>
      fetch(`${proxy.url}${path}`, { method, tls: { ca: readFileSync(TEST_CERTIFICATE, "utf8") } });
    expect((await ask("/health")).status).toBe(200);
    expect(await (await ask("/reload", "POST")).json()).toEqual({
      changed: [],
      needs_new_process: [],
    });
    expect((await ask("/health")).status).toBe(200);
  });

  test.each<readonly [string, string, string?]>([
    ["--api-keys @/dev/fd/99", "(ENOENT)"],
    ["--api-keys @/dev/fd/9 9</dev/zero", "holds more than 16 MiB"],
    ["--api-keys @<(true)", "holds no key"],
    ["--tls-key <(echo key) --tls-cert <(echo cert)", "make no key with its certificate"],
    [
      "--ssl",
      "as of <(command), is not there: name a file",
      "SSL_KEYFILE=/dev/fd/9 SSL_CERTFILE=/dev/fd/9",
    ],
  ])("are refused in a line that says why: %s", async (words, why, before = "") => {
    const started = startByShell(words, before).then(
      () => "started",
      (error: Error) => error.message,
    );
    expect(await started).toContain(why);
    expect(await started).toContain("ended with 2");
  });
});
