/** Bodies that are refused: what the client is told, and that no engine and no neighbour notices. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { postText, sendRaw } from "../support/raw-http.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const MAX_BYTES = 1_000_000;
const PATHS = ["/v1/chat/completions", "/v1/messages", "/v1/unheard-of"];

let engine: RunningEngine;
let proxy: ProxyProcess;
/** For bodies that do not come. */
let impatient: ProxyProcess;

beforeAll(async () => {
  engine = await startEngine({ models: ["tiny"] });
  const flags = ["--node", engine.url, "--max-body", `${MAX_BYTES}`];
  proxy = await startProxy(flags);
  impatient = await startProxy([...flags, "--body-timeout", "0.2"]);
  for (const one of [proxy, impatient]) await untilHealthy(one);
});

afterAll(async () => {
  for (const one of [proxy, impatient]) await one.end("SIGKILL");
  await engine.stop(true);
});

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: RegExp;
  readonly param?: string;
  /** Whether the connection is closed behind it, too. */
  readonly closes?: boolean;
}

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  413: "request_too_large",
};

/** The one answer is this refusal, in the dialect of `path`, and no engine has seen a request. */
async function expectRefusal(
  path: string,
  bytes: string | Uint8Array,
  refusal: Refusal,
): Promise<void> {
  const before = engine.state().totalRequests;
  const { closes = refusal.status === 408 } = refusal;
  const { port } = refusal.status === 408 ? impatient : proxy;
  const { answers, closed } = await sendRaw(port, bytes, { untilClosed: closes });
  expect(answers.map(({ status }) => status)).toEqual([refusal.status]);
  expect(closed).toBe(closes);
  const [answer] = answers;
  expect(answer?.headers.get("content-type")).toBe("application/json");
  const { type, error } = Object(JSON.parse(answer?.body ?? ""));
  expect(error.message).toMatch(refusal.message);
  if (path.startsWith("/v1/messages")) {
    const known = ANTHROPIC_TYPES[refusal.status] ?? "api_error";
    expect([type, error.type]).toEqual(["error", known]);
  } else {
    expect([error.code, error.param]).toEqual([refusal.code, refusal.param ?? null]);
  }
  expect(engine.state().totalRequests).toBe(before);
}

function bodyText(
  path: string,
  body: string | Uint8Array,
  headers: readonly string[] = [],
): Uint8Array {
  const bytes = Buffer.from(body);
  const lines = [
    `POST ${path} HTTP/1.1`,
    "Host: proxy",
    "Content-Type: application/json",
    `Content-Length: ${bytes.length}`,
    ...headers,
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), bytes]);
}

function chunkText(path: string, body: string): string {
  const chunks = body.match(/[ -~]{1,50000}/g) ?? [];
  const framed = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("");
  const head = "Host: proxy\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
  return `POST ${path} HTTP/1.1\r\n${head}\r\n\r\n${framed}0\r\n\r\n`;
}

const invalid = (message: RegExp, param?: string): Refusal => ({
  status: 400,
  code: "invalid_request",
  message,
  ...(param === undefined ? {} : { param }),
});

const BAD: readonly (readonly [string, string | Uint8Array, Refusal])[] = [
  ["nothing", "", invalid(/is empty/)],
  ["blanks", " \r\n\t", invalid(/is empty/)],
  ["a byte order mark alone", "\ufeff", invalid(/is empty/)],
  ...['[{"model":"tiny"}]', '"tiny"', "1", "null", "true", "model=tiny", "<x/>", "\0"].map(
    (body): [string, string, Refusal] => [JSON.stringify(body), body, invalid(/not a JSON object/)],
  ),
  ...[
    '{"model":"tiny"',
    '{"model":"tiny"}}',
    '{"model":"tiny"}{}',
    '{"model":tiny}',
    "{'model':'tiny'}",
    '{"model":"tiny",}',
    '{"a":[}',
    '{"a":01}',
    "{",
    '{"model":"tiny\n"}',
    '{"model":"tiny"}//',
  ].map((body): [string, string, Refusal] => [
    JSON.stringify(body),
    body,
    invalid(/not valid JSON/),
  ]),
  [
    "100,000 arrays in each other",
    `{"model":"tiny","a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    invalid(/deeper than/),
  ],
  [
    "100,000 objects in each other",
    `{"model":"tiny","a":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}}`,
    invalid(/deeper than/),
  ],
  ["100,000 arrays that do not end", `{"a":${"[".repeat(100_000)}`, invalid(/deeper than/)],
  ["__proto__", '{"model":"tiny","__proto__":{"stream":true}}', invalid(/__proto__/)],
  ["__proto__ in escapes", '{"\\u005f_proto__":{},"model":"tiny"}', invalid(/__proto__/)],
  ["model twice", '{"model":"tiny","model":"other"}', invalid(/twice/, "model")],
  [
    "model twice, once in escapes",
    '{"model":"tiny","mod\\u0065l":"other"}',
    invalid(/twice/, "model"),
  ],
  ["stream twice", '{"model":"tiny","stream":true,"stream":false}', invalid(/twice/, "stream")],
  ["a model that is no string", '{"model":["tiny"]}', invalid(/has to be a string/, "model")],
  ["a model name of 10 KB", `{"model":"${"x".repeat(10_000)}"}`, invalid(/longer than/)],
  [
    "100,000 members",
    `{"model":"tiny"${',"a":1'.repeat(100_000)}}`,
    invalid(/more than \d+ members/),
  ],
  [
    "invalid UTF-8",
    Uint8Array.of(...Buffer.from('{"model":"tiny","a":"'), 0xc3, 0x28, 0x22, 0x7d),
    invalid(/UTF-8/),
  ],
  [
    "a surrogate in UTF-8",
    Uint8Array.of(...Buffer.from('{"model":"tiny","a":"'), 0xed, 0xa0, 0x80, 0x22, 0x7d),
    invalid(/UTF-8/),
  ],
  [
    "UTF-16",
    Buffer.from('{"model":"tiny"}', "utf16le"),
    invalid(/not a JSON object|not valid JSON/),
  ],
];

describe.each(PATHS)("POST %s", (path) => {
  test.each(BAD)("%s is told what is wrong with it", async (_, body, refusal) => {
    await expectRefusal(path, bodyText(path, body), refusal);
  });

  test.each(["gzip", "deflate", "br", "zstd", "identity, gzip", "GZIP", "x"])(
    "%s is not unpacked",
    async (encoding) => {
      const packed = Bun.gzipSync(Buffer.alloc(100_000, "x"));
      await expectRefusal(path, bodyText(path, packed, [`Content-Encoding: ${encoding}`]), {
        status: 415,
        code: "unsupported_media_type",
        message: /is compressed/,
      });
    },
  );

  const tooLarge = {
    status: 413,
    code: "request_too_large",
    message: /larger than 1000000 bytes.*--max-body/,
  };

  test("a body that says it is too large is not waited for", async () => {
    const [head] = postText(path, "").split("\r\n\r\n");
    for (const length of [MAX_BYTES + 1, 2 ** 40]) {
      const text = `${head?.replace("Content-Length: 0", `Content-Length: ${length}`)}\r\n\r\n{`;
      await expectRefusal(path, text, { ...tooLarge, closes: length === 2 ** 40 });
    }
  });

  test("a body that turns out too large is refused", async () => {
    const body = `{"model":"tiny","a":"${"x".repeat(MAX_BYTES)}"}`;
    await expectRefusal(path, bodyText(path, body), tooLarge);
    await expectRefusal(path, chunkText(path, body), tooLarge);
  });
});

// They wait, each for its own connection.
describe.concurrent.each(PATHS)("POST %s with", (path) => {
  const tooSlow = { status: 408, code: "request_timeout", message: /for 0\.2 s/ };
  const head = `POST ${path} HTTP/1.1\r\nHost: proxy\r\n`;

  test.each([
    ["no byte of a short body", `${head}Content-Length: 16\r\n\r\n`],
    ["half a short body", `${head}Content-Length: 16\r\n\r\n{"model`],
    [
      "half a long body",
      `${head}Content-Length: 900000\r\n\r\n{"model":"tiny","a":"${"x".repeat(300_000)}`,
    ],
    ["no chunk", `${head}Transfer-Encoding: chunked\r\n\r\n`],
    ["half a chunk", `${head}Transfer-Encoding: chunked\r\n\r\n10\r\n{"model`],
    [
      "all but the last chunk",
      `${head}Transfer-Encoding: chunked\r\n\r\n10\r\n{"model":"tiny"}\r\n`,
    ],
  ])("%s, and then nothing, is not waited for", async (_, text) => {
    await expectRefusal(path, text, tooSlow);
  });
});

test.each(["identity", "Identity", ""])("the encoding %p is none", async (encoding) => {
  const body = '{"model":"tiny","max_tokens":1,"prompt":"x"}';
  const text = postText("/v1/completions", body, [`Content-Encoding: ${encoding}`]);
  const { answers } = await sendRaw(proxy.port, text);
  expect(answers.map(({ status }) => status)).toEqual([200]);
});

test("a body of just the largest size passes, however it comes", async () => {
  const start = '{"model":"tiny","max_tokens":1,"prompt":"';
  const body = `${start}${"x".repeat(MAX_BYTES - start.length - 2)}"}`;
  const path = "/v1/completions";
  for (const text of [bodyText(path, body), chunkText(path, body)]) {
    const { answers } = await sendRaw(proxy.port, text);
    expect(answers[0]?.status).toBe(200);
    expect(Buffer.from(engine.state().lastBodyBase64, "base64").toString()).toBe(body);
  }
});

describe("administration", () => {
  const bad: readonly (readonly [string, string, RegExp])[] = [
    ["an array", "[]", /./],
    ["half an object", "{", /not valid JSON/],
    ["nothing", "", /./],
    ["a URL that is none", '{"url":1}', /url/],
    ["models that are none", '{"url":"http://127.0.0.1:7","models":"m"}', /models/],
    ["a role that is none", '{"url":"http://127.0.0.1:7","role":9}', /role/],
    ["__proto__", '{"__proto__":{"url":"http://127.0.0.1:7"}}', /url/],
    ["100,000 arrays in each other", `{"url":${"[".repeat(100_000)}`, /not valid JSON/],
    ["invalid UTF-8", '{"url":"http://127.0.0.1:7\xff"}', /UTF-8/],
  ];

  test.each(bad)("%s is told what is wrong with it", async (_, body, message) => {
    const text = postText("/nodes/add", body);
    await expectRefusal("/nodes/add", Buffer.from(text, "latin1"), invalid(message));
    expect(Object.keys(await proxy.status())).toEqual([engine.url]);
  });

  test("has limits of its own", async () => {
    const text = `{"url":"${"x".repeat(5_000_000)}"}`;
    await expectRefusal("/nodes/add", bodyText("/nodes/add", text), {
      status: 413,
      code: "request_too_large",
      message: /larger than 4194304 bytes; send less\.$/,
    });
    await expectRefusal(
      "/nodes/add",
      postText("/nodes/add", "{}").replace("Length: 2", "Length: 9"),
      {
        status: 408,
        code: "request_timeout",
        message: /0\.2 s/,
      },
    );
  });
});
