/** Who may use inference and who may register engines. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { INFERENCE_PATHS } from "../support/inference-paths.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { httpAnswer, type RawServer, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const KEYS = ["sk-first", "sk-second", "sk-with-!#$%&'*+.^_`|~-signs"];

let engine: RawServer;
let proxy: ProxyProcess;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lmproxy-keys-"));
  const file = join(folder, "keys");
  await Bun.write(file, `\ufeff${KEYS.join("\r\n")}\n\n`);
  engine = startRawServer({
    script: () => [{ send: httpAnswer('{"ok":1}') }],
    probes: { "/metrics": [{ send: httpAnswer("") }] },
  });
  proxy = await startProxy(["--api-keys", `@${file}`, "--node", engine.url]);
  await untilHealthy(proxy, 1, "sk-first");
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
  await rm(folder, { recursive: true });
});

async function statusOf(
  method: string,
  path: string,
  headers: readonly string[],
): Promise<number | undefined> {
  const text = postText(path, method === "POST" ? '{"model":"tiny"}' : "", headers);
  const { answers } = await sendRaw(proxy.port, text.replace("POST", method));
  return answers[0]?.status;
}

const GUARDED = [
  ...[...INFERENCE_PATHS, "/v1/anything/else"].map((path) => ["POST", path] as const),
  ["GET", "/v1/models"],
  ["GET", "/v1/models/tiny"],
  ["GET", "/anthropic/v1/models"],
] as const;

describe.each(GUARDED)("%s %s", (method, path) => {
  test("opens to each key, as a bearer or as x-api-key", async () => {
    for (const key of KEYS) {
      expect(await statusOf(method, path, [`Authorization: Bearer ${key}`])).toBe(200);
      expect(await statusOf(method, path, [`x-api-key: ${key}`])).toBe(200);
    }
    expect(await statusOf(method, path, ["authorization: bearer   sk-first"])).toBe(200);
    const foreign = "foreign-key";
    for (const headers of [
      ["Authorization: Bearer sk-first", `x-api-key: ${foreign}`],
      [`Authorization: Bearer ${foreign}`, "x-api-key: sk-first"],
      [`Authorization: Basic ${foreign}`, "x-api-key: sk-first"],
      ["Authorization: Bearer sk-first", "x-api-key: sk-first"],
    ]) {
      expect([headers, await statusOf(method, path, headers)]).toEqual([headers, 200]);
    }
  });

  test("opens to nobody else", async () => {
    const before = engine.requests.length;
    for (const headers of [
      [],
      ["Authorization: Bearer sk-third"],
      ["Authorization: Bearer sk-firs"],
      ["Authorization: Bearer sk-firstx"],
      ["Authorization: Bearer SK-FIRST"],
      ["Authorization: Bearer"],
      ["Authorization: Bearer "],
      ["Authorization: Bearer sk-first sk-second"],
      ["Authorization: Bearer sk-first, Bearer sk-second"],
      ["Authorization: Bearer sk-third", "Authorization: Bearer sk-first"],
      ["Authorization: Basic sk-first"],
      ["Authorization: sk-first"],
      ["Authorization: Bearer sk-third", "x-api-key: sk-fourth"],
      ["x-api-key: "],
      ["Cookie: authorization=sk-first"],
      ["X-Forwarded-For: 127.0.0.1"],
    ]) {
      expect([headers, await statusOf(method, path, headers)]).toEqual([headers, 401]);
    }
    expect(await statusOf(method, `${path}?api_key=sk-first&key=sk-first`, [])).toBe(401);
    expect(engine.requests.length).toBe(before);
  });
});

test("the 401 is in the envelope, in both dialects, and says how to send a key", async () => {
  const openAi = await sendRaw(proxy.port, postText("/v1/chat/completions", "{}"));
  expect(openAi.answers[0]?.headers.get("www-authenticate")).toBe("Bearer");
  expect(JSON.parse(openAi.answers[0]?.body ?? "")).toEqual({
    error: {
      message: "This needs an API key: send it as `Authorization: Bearer KEY`.",
      type: "authentication_error",
      code: "invalid_api_key",
      param: null,
    },
  });
  const anthropic = await sendRaw(proxy.port, postText("/v1/messages", "{}"));
  expect(JSON.parse(anthropic.answers[0]?.body ?? "")).toMatchObject({
    type: "error",
    error: { type: "authentication_error" },
  });
});

test("a wrong key is told from none, in each dialect's words, and is not repeated", async () => {
  const messageOf = async (path: string, headers: readonly string[]) => {
    const { answers } = await sendRaw(proxy.port, postText(path, "{}", headers));
    return String(Object(JSON.parse(answers[0]?.body ?? "")).error.message);
  };
  const wrong = ["Authorization: Bearer sk-wrong"];
  const openAi = await messageOf("/v1/completions", wrong);
  expect(openAi).toStartWith("Incorrect API key provided");
  const anthropic = [
    await messageOf("/v1/messages", []),
    await messageOf("/v1/messages", ["x-api-key: sk-wrong"]),
  ];
  expect(anthropic[0]).toStartWith("x-api-key header is required");
  expect(anthropic[1]).toStartWith("invalid x-api-key");
  expect([openAi, ...anthropic].join()).not.toContain("sk-wrong");
});

test("the key is judged before the body is read", async () => {
  const head = postText("/v1/completions", "").replace("Length: 0", "Length: 1000");
  const { answers } = await sendRaw(proxy.port, head);
  expect(answers.map(({ status }) => status)).toEqual([401]);
});

test.each(["/health", "/liveness", "/ready", "/readiness", "/docs", "/openapi.json", "/"])(
  "%s is open to all",
  async (path) => {
    expect([200, 302]).toContain((await statusOf("GET", path, [])) ?? 0);
  },
);

describe("a registration", () => {
  const body = '{"url":"http://127.0.0.1:9"}';

  test.each([
    [["--trust-nodes", "127.0.0.0/8"], 200],
    [["--trust-nodes", "10.0.0.0/8", "127.0.0.1"], 200],
    [["--trust-nodes", "192.0.2.0/24", "::/0"], 401],
  ])("is judged by the socket's address, with %j", async (trust, expected) => {
    await using other = await startProxy(["--api-keys", "sk-first", ...trust]);
    const status = async (headers: readonly string[]) => {
      const { answers } = await sendRaw(other.port, postText("/nodes/add", body, headers));
      return answers[0]?.status;
    };
    expect(await status([])).toBe(expected);
    for (const address of ["127.0.0.1", "192.0.2.7", "8.8.8.8", "10.1.1.1"]) {
      expect(await status([`Client-IP: ${address}`])).toBe(expected);
    }
  });

  test.each([
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Proto: http",
    "X-Real-IP: 127.0.0.1",
    "Forwarded: for=127.0.0.1",
    "Via: 1.1 nginx",
  ])("that came through another proxy needs a key: %s", async (header) => {
    const ask = async (port: number, headers: readonly string[]) => {
      const text = postText("/nodes/add", body, [header, ...headers]);
      return (await sendRaw(port, text)).answers[0]?.status;
    };
    expect(await ask(proxy.port, [])).toBe(401);
    expect(await ask(proxy.port, ["Authorization: Bearer sk-first"])).toBe(200);
    await using open = await startProxy();
    expect(await ask(open.port, [])).toBe(403);
  });

  test("by way of a trusted proxy is judged by the address that it names", async () => {
    const flags = ["--trusted-proxies", "127.0.0.0/8", "--trust-nodes", "10.0.0.0/8"];
    await using other = await startProxy(["--api-keys", "sk-first", ...flags]);
    const status = async (chain: string) => {
      const text = postText("/nodes/add", body, [`X-Forwarded-For: ${chain}`]);
      return (await sendRaw(other.port, text)).answers[0]?.status;
    };
    expect(await status("10.1.1.1")).toBe(200);
    expect(await status("8.8.8.8, 10.1.1.1")).toBe(200);
    expect(await status("10.1.1.1, 8.8.8.8")).toBe(401);
    expect(await status("10.1.1.1, 8.8.8.8, 127.0.0.9")).toBe(401);
    expect(await status("10.1.1.1, nonsense")).toBe(401);
  });

  test("from a trusted address with a wrong key is refused", async () => {
    const headers = ["Authorization: Bearer sk-third"];
    const { answers } = await sendRaw(proxy.port, postText("/nodes/add", body, headers));
    expect(answers.map(({ status }) => status)).toEqual([401]);
  });
});
