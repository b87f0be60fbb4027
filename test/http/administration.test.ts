/** Who may administer: every call, with every key, from inside and outside the trusted network. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { HttpAnswer } from "../support/http-answers.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { sendRaw } from "../support/raw-http.ts";
import { TLS_FLAGS } from "../support/tls/files.ts";

setDefaultTimeout(60_000);

const CALLS = [
  ["POST", "/nodes/add"],
  ["GET", "/nodes/status"],
  ["POST", "/nodes/remove"],
  ["POST", "/nodes/drain"],
  ["POST", "/nodes/undrain"],
  ["GET", "/nodes/show?node=http://127.0.0.1:9"],
  ["POST", "/nodes/terminate"],
  ["GET", "/nodes/terminate_all"],
  ["POST", "/distserve/connection_warmup"],
  ["POST", "/distserve/gc"],
  ["POST", "/nodes/call"],
  ["POST", "/flush_cache"],
  ["POST", "/v1/load_lora_adapter"],
  ["GET", "/workers"],
  ["DELETE", "/workers/x"],
  ["POST", "/remove_worker?url=http://127.0.0.1:9"],
  ["GET", "/list_workers"],
  ["GET", "/get_loads"],
  ["GET", "/debug/config"],
  ["POST", "/reload"],
  ["GET", "/debug/log"],
  ["POST", "/debug/log"],
] as const;

const KEYS = { none: null, wrong: "sk-wrong", client: "sk-client", admin: "sk-admin" } as const;
type KeyName = keyof typeof KEYS;

const CLIENT = ["--api-keys", "sk-client", "sk-other"];
const ADMIN = ["--admin-key", "sk-admin"];
const OUTSIDE = ["--trust-nodes", "192.0.2.0/24"];
const INSIDE = ["--trust-nodes", "127.0.0.0/8"];

/** Flags, the keys that administer, and whether this machine may register engines without one. */
const SETUPS: readonly (readonly [readonly string[], readonly KeyName[], boolean])[] = [
  [[], ["none", "wrong", "client", "admin"], true],
  [CLIENT, ["client"], true],
  [[...CLIENT, ...OUTSIDE], ["client"], false],
  [ADMIN, ["admin"], false],
  [[...CLIENT, ...ADMIN], ["admin"], false],
  [[...CLIENT, ...ADMIN, ...OUTSIDE], ["admin"], false],
  [[...CLIENT, ...ADMIN, ...INSIDE], ["admin"], true],
];

const NODE = "http://127.0.0.1:9";
const proxies = new Map<readonly string[], Promise<ProxyProcess>>();

function proxyWith(flags: readonly string[]): Promise<ProxyProcess> {
  const started = proxies.get(flags) ?? startProxy(["--node", NODE, ...flags]);
  proxies.set(flags, started);
  return started;
}

afterAll(async () => {
  await Promise.all([...proxies.values()].map(async (proxy) => (await proxy).end("SIGKILL")));
});

interface Asked {
  readonly method: string;
  readonly target: string;
  readonly host?: string;
  readonly headers?: readonly string[];
  readonly tls?: boolean;
}

async function ask(proxy: ProxyProcess, asked: Asked): Promise<HttpAnswer> {
  const { method, target, host = "proxy", headers = [], tls = false } = asked;
  const body = method === "POST" ? '{"url":"http://127.0.0.1:7/unknown"}' : "";
  const head = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, ...headers];
  const length = `Content-Length: ${body.length}`;
  const text = `${[...head, length].join("\r\n")}\r\n\r\n${body}`;
  const { answers } = await sendRaw(proxy.port, text, { tls });
  const [answer] = answers;
  if (answer === undefined) throw new Error(`no answer to ${head.join(", ")}`);
  return answer;
}

function bearer(key: string | null): readonly string[] {
  return key === null ? [] : [`Authorization: Bearer ${key}`];
}

describe.each(SETUPS)("with %j", (flags, administrators, trusted) => {
  test.each(Object.entries(KEYS))(
    "%s key: each call is let through or answered 401",
    async (name, key) => {
      const proxy = await proxyWith(flags);
      for (const [method, target] of CALLS) {
        // Would end every engine: the variants below ask for it where it must be refused.
        if (target === "/nodes/terminate_all") continue;
        const { status } = await ask(proxy, { method, target, headers: bearer(key) });
        const registers = target === "/nodes/add" && trusted && key === null;
        const may = registers || administrators.some((administrator) => administrator === name);
        expect({ target, refused: status === 401 }).toEqual({ target, refused: !may });
      }
    },
  );
});

describe("what a browser says of the page that asks", () => {
  const open: readonly string[] = [];
  test.each([
    [["Sec-Fetch-Site: same-origin"], true],
    [["Sec-Fetch-Site: none"], true],
    [["Sec-Fetch-Site: cross-site"], false],
    [["Sec-Fetch-Site: same-site"], false],
    [["Origin: http://localhost:1"], true],
    [["Origin: https://localhost:1"], true],
    [["Origin: http://evil.test"], false],
    [["Origin: null"], false],
    [["Origin: http://localhost:1.evil.test"], false],
    [["Origin: http://evil.test", "Sec-Fetch-Site: same-origin"], true],
  ])(
    "%j: may administer: %p, also with no key wanted and from a trusted address",
    async (headers, may) => {
      const proxy = await proxyWith(open);
      for (const [method, target] of CALLS) {
        const { status } = await ask(proxy, { method, target, host: "localhost:1", headers });
        expect({ target, refused: status === 403 }).toEqual({ target, refused: !may });
      }
    },
  );
});

describe("a name that was made to lead here (DNS rebinding)", () => {
  const BROWSER = ["Origin: http://rebound.test"];
  const signs = [
    BROWSER,
    ["Sec-Fetch-Site: same-origin"],
    ["Sec-Fetch-Mode: cors"],
    ["User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"],
  ];

  test.each(signs)("administers nothing without a key: %s", async (sign) => {
    const proxy = await proxyWith([]);
    for (const [method, target] of CALLS) {
      const asked = { method, target, host: "rebound.test", headers: [sign] };
      expect([target, (await ask(proxy, asked)).status]).toEqual([target, 403]);
    }
  });

  test("is one we know by --admin-hosts, by its address, or needs a key", async () => {
    const status = async (flags: readonly string[], host: string, key: string | null = null) => {
      const headers = [`Origin: http://${host}`, ...bearer(key)];
      const asked = { method: "GET", target: "/nodes/status", host, headers };
      return (await ask(await proxyWith(flags), asked)).status;
    };
    const named = ["--admin-hosts", "LLM.internal"];
    expect(await status(named, "llm.internal:8000")).toBe(200);
    expect(await status(named, "llm.internal.evil.test")).toBe(403);
    const none: readonly string[] = [];
    for (const host of ["127.0.0.1:8000", "[::1]:8000", "localhost", "my.localhost:8000"]) {
      expect([host, await status(none, host)]).toEqual([host, 200]);
    }
    expect(await status(ADMIN, "rebound.test", KEYS.admin)).toBe(200);
    expect(await status(ADMIN, "rebound.test")).toBe(401);
  });

  test("is nothing to programs, whatever name they use", async () => {
    const asked = { method: "GET", target: "/nodes/status", host: "any.name" };
    expect((await ask(await proxyWith([]), asked)).status).toBe(200);
  });
});

const SAFE_FOR_NOBODY = [...CLIENT, ...ADMIN, ...OUTSIDE];

/** Spellings of `path` that somebody, somewhere, takes for it. */
function spellings(path: string): string[] {
  const rest = path.slice(1);
  return [
    ...["", "/", "?", "?x=1", "#x", "%20", "%00", "%09", ";a=b", "/.", "/../x", "//"].map(
      (end) => path + end,
    ),
    ...[
      "/",
      "/.",
      "/x/..",
      "/..",
      "/v1/..",
      "/v1/%2e%2e",
      "/v1/%2E%2e",
      "/v1/.%2e",
      "/..;",
      "/health/..",
    ].map((start) => start + path),
    ...["/v1/..%2f", "/v1/..%5c", "/v1/..\\", "\\", "/\\", "/v1/%252e%252e%252f"].map(
      (start) => start + rest,
    ),
    `/${rest.replaceAll("/", "%2f")}`,
    `/${rest.replaceAll("/", "\\")}`,
    `/${rest.replaceAll("/", "//")}`,
    `/${rest.replace("n", "%6e").replace("d", "%64")}`,
    path.toUpperCase(),
    ...[
      "http://proxy",
      "http://",
      "http:///",
      "http://other:1",
      "https://x",
      "HTTP://u:p@x",
      "//other",
    ].map((start) => start + path),
    // What stands before it moves the path when the authority is taken for shorter or longer than it is.
    ...Array.from({ length: 12 }, (_, length) => `/${"x".repeat(length)}${path}`),
    ...Array.from({ length: 12 }, (_, length) => `/x/${"x".repeat(length)}${path}`),
    `/${path.split("/").slice(2).join("/")}`,
  ];
}

const HOSTS = [
  ...["proxy", "a", "ab", "nodes", "distserve", "[::1]:80", "a:", "a:99999", "a.", ".", "-", "_"],
  ...[
    "",
    "a b",
    "a/b",
    "a?b",
    "a#b",
    "u@a",
    "a\\b",
    "a,b",
    "[",
    "a%2fb",
    "\xe9",
    "a\tb",
    "http://a",
  ],
];

/**
 * Each with its hosts, and with which part of its calls a host and a spelling meet: host and spelling, host and
 * call, spelling and call do all meet, but not every three.
 */
describe.each([
  ["http", HOSTS, 4, SAFE_FOR_NOBODY],
  ["https", ["proxy", "a", "nodes"], 2, [...SAFE_FOR_NOBODY, ...TLS_FLAGS]],
] as const)("over %s, however path and host are spelled,", (scheme, hosts, every, flags) => {
  test.each([
    ["no key", null],
    ["a client's key", KEYS.client],
  ])("%s administers nothing", async (_, key) => {
    const proxy = await proxyWith(flags);
    const tls = scheme === "https";
    const before = await nodesOf(proxy, tls);
    for (const [turn, [method, path]] of CALLS.entries()) {
      const asked = hosts.flatMap((host, i) =>
        spellings(path)
          .filter((_, j) => (turn + i + j) % every === 0)
          .map((target) => ({ method, target, host, headers: bearer(key), tls })),
      );
      const statuses = await Promise.all(asked.map(async (one) => (await ask(proxy, one)).status));
      const done = asked.filter((_, i) => (statuses[i] ?? 0) < 300);
      expect(done).toEqual([]);
    }
    expect(await nodesOf(proxy, tls)).toBe(before);
  });
});

/** The nodes there are, as an administrator sees them. */
async function nodesOf(proxy: ProxyProcess, tls: boolean): Promise<string> {
  const asked = { method: "GET", target: "/nodes/status", headers: bearer(KEYS.admin), tls };
  const { status, body } = await ask(proxy, asked);
  expect(status).toBe(200);
  return Object.keys(Object(JSON.parse(body))).join();
}
