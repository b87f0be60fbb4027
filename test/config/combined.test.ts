/** What several flags, variables and files make together: TLS, the state file, keys, lists. */
import { describe, expect, test } from "bun:test";
import { showConfig } from "../../src/config/print.ts";
import { parse, refusal } from "./parse.ts";

describe("TLS", () => {
  const files = { "/key.pem": "key", "/cert.pem": "certificate" };
  const env = { SSL_KEYFILE: "/key.pem", SSL_CERTFILE: "/cert.pem" };

  test("--ssl takes the files that LMDeploy's variables name; without it they are ignored", () => {
    const tls = { keyPath: "/key.pem", certPath: "/cert.pem" };
    expect(parse("--ssl", { env, files }).config.tls).toEqual(tls);
    expect(parse("", { env, files }).config.tls).toBeNull();
  });

  test("--tls-key and --tls-cert need no --ssl, and win over the variables", () => {
    const { config } = parse("--ssl --tls-key /my.key --tls-cert /my.crt", {
      env,
      files: { ...files, "/my.key": "key", "/my.crt": "certificate" },
    });
    expect(config.tls).toEqual({ keyPath: "/my.key", certPath: "/my.crt" });
  });

  test("one without the other, or a file that cannot be read, is refused", () => {
    expect(refusal("--tls-key /key.pem", { files })).toContain("--tls-cert");
    expect(refusal("--tls-cert /cert.pem", { files })).toContain("--tls-key");
    expect(refusal("--ssl", { files, env: { SSL_KEYFILE: "/key.pem" } })).toContain("SSL_CERTFILE");
    expect(refusal("--ssl", { env, files: { "/key.pem": "key" } })).toBe(
      'SSL_CERTFILE: cannot read the file "/cert.pem" (ENOENT)',
    );
  });
});

test("--takeover needs a state file, by which it finds the one that runs", () => {
  expect(parse("--takeover --state /n.json").config.takeover).toBe(true);
  expect(parse("--state /n.json", { env: { LMPROXY_TAKEOVER: "true" } }).config.takeover).toBe(
    true,
  );
  expect(refusal("--takeover")).toBe(
    "--takeover finds the running lmproxy by its state file; give both the same --state",
  );
});

describe("state file", () => {
  test.each([
    ["", { XDG_STATE_HOME: "/state", HOME: "/home/u" }, "/state/lmproxy/nodes-8000.json"],
    ["--port 81", { HOME: "/home/u" }, "/home/u/.local/state/lmproxy/nodes-81.json"],
    ["", { XDG_STATE_HOME: "relative", HOME: "/h" }, "/h/.local/state/lmproxy/nodes-8000.json"],
    ["", {}, null],
    ["--port 0", { HOME: "/home/u" }, null],
    ["--port 0 --state here.json", { HOME: "/home/u" }, "here.json"],
    ["--disable-cache-status", { HOME: "/home/u" }, null],
    ["--disable-cache-status", { LMPROXY_STATE: "/file" }, null],
  ])("%s %j → %p", (argv, env, path) => {
    expect(parse(argv, { env }).config.statePath).toBe(path);
  });
});

describe("keys", () => {
  test("stand after one flag, repeated flags, or in a file, one a line", () => {
    const files = { "/keys": "\uFEFFsk-file-1\r\n\n  sk-file-2  \n@literal\n" };
    const { config } = parse("--api-keys a b --port 81 --api-keys @/keys a", { files });
    expect(config.apiKeys).toEqual(["a", "b", "sk-file-1", "sk-file-2", "@literal"]);
  });

  test("in a variable are separated by commas, files included", () => {
    const env = { LMPROXY_API_KEYS: "a, @/keys,,b" };
    expect(parse("", { env, files: { "/keys": "c" } }).config.apiKeys).toEqual(["a", "c", "b"]);
  });

  test("a single key may come from a file that holds just one", () => {
    const files = { "/one": "secret\n", "/two": "secret\nsecond\n" };
    expect(parse("--admin-key @/one", { files }).config.adminKey).toBe("secret");
    expect(refusal("--admin-key @/two", { files })).toContain("takes one key");
  });

  test("that would leave the proxy open unnoticed are refused", () => {
    expect(refusal("--api-keys @/empty", { files: { "/empty": "\n \n" } })).toContain("no key");
    expect(refusal(["--api-keys", ""])).toContain("--api-keys");
    expect(refusal("", { env: { LMPROXY_API_KEYS: " , " } })).toContain("LMPROXY_API_KEYS");
  });
});

test("lists keep their order and lose doubles", () => {
  const { config } = parse("--node http://b http://a --node http://b --node http://c");
  expect(config.nodes).toEqual(["http://b", "http://a", "http://c"]);
});

test("a bracketed IPv6 host loses its brackets", () => {
  expect(parse("--host [::]").config.host).toBe("::");
});

describe("--print-config", () => {
  test("shows each value as it would be typed, and where it came from", () => {
    const { config, sources, printOnly } = parse("--print-config --port 81 --no-retry", {
      env: { AIOHTTP_TIMEOUT: "2.5" },
    });
    expect(printOnly).toBe(true);
    const lines = showConfig(config, sources).trimEnd().split("\n");
    const rows = lines.map((line) => line.split(/ {2,}/));
    expect(rows).toContainEqual(["--port", "81", "flag --port"]);
    expect(rows).toContainEqual(["--timeout", "2.5", "variable AIOHTTP_TIMEOUT"]);
    expect(rows).toContainEqual(["--max-body", "64MiB", "default"]);
    expect(rows).toContainEqual(["--no-retry", "on", "flag --no-retry"]);
    expect(rows).toContainEqual(["--no-retry-sent", "off", "default"]);
    expect(rows).toContainEqual(["--tls-key", "not set", "default"]);
  });

  test("masks keys", () => {
    const { config, sources } = parse("--api-keys canary-1 canary-2 --admin-key canary-3", {
      env: { LMPROXY_UPSTREAM_API_KEY: "@/key" },
      files: { "/key": "canary-4" },
    });
    expect(config.upstreamApiKey).toBe("canary-4");
    const shown = showConfig(config, sources);
    expect(shown).not.toContain("canary");
    expect(shown).toMatch(/--api-keys +\*\*\* \*\*\* +flag --api-keys\n/);
  });
});
