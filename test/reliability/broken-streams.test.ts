/** Answers that break in the middle end so that no client can take them for whole ones. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { times } from "../support/ask.ts";
import { startEngineProcess } from "../support/engine-process.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { chunk } from "../support/raw-answers.ts";
import { type RawAnswer, type RawExchange, rawPost } from "../support/raw-client.ts";
import { httpAnswer, type RawServer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const SSE_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENTS = 'event: a\ndata: {"text":"grüß"}\n\ndata: {"text":"dich"}\r\n\r\ndata: 3\r\r: c\n\n';
const MESSAGE = "The answer broke off: the engine's connection was lost.";
const OPENAI_EVENT = `data: {"error":{"message":"${MESSAGE}","type":"server_error","code":"upstream_error","param":null}}\n\n`;

let engine: RawServer;
let proxy: ProxyProcess;
let steps: readonly RawStep[] = [];

beforeAll(async () => {
  engine = startRawServer({ script: ({ method }) => (method === "POST" ? steps : []) });
  proxy = await startProxy(["--node", engine.url]);
  await untilHealthy(proxy);
});

afterAll(async () => {
  await proxy.end("SIGKILL");
  engine.stop();
});

/** What the client of `path` gets while the engine does `how`. */
async function get(
  path: string,
  how: readonly RawStep[],
  version: "1.0" | "1.1" = "1.1",
  port = proxy.port,
): Promise<RawAnswer> {
  steps = how;
  client = rawPost(port, path, { model: "tiny" }, { version });
  return await client.ended;
}

let client: RawExchange;

/** Goes on when the client has so much of the body: a break that comes together with bytes is seen before them. */
function seen(exchange: RawExchange, bytes: number): Promise<boolean> {
  return until("its client has it", () => {
    const { body, connection } = exchange.answer();
    return body.length >= bytes || connection !== "open";
  });
}

function delivered(text: string): RawStep {
  return { hold: () => seen(client, Buffer.byteLength(text)) };
}

const SEEN = delivered(EVENTS);

const BREAKS: Readonly<Record<string, readonly RawStep[]>> = {
  "a FIN without the last chunk": [SEEN, { close: true }],
  "a reset": [SEEN, { reset: true }],
  "a chunk size that is none": [SEEN, { send: "zz\r\n" }],
  "a chunk cut short": [SEEN, { send: "100\r\n" }, { waitMs: 20 }, { close: true }],
};

function expectBroken(answer: RawAnswer): void {
  expect(answer).toMatchObject({ status: 200, complete: false, connection: "reset" });
  const body = answer.body.toString();
  expect(body).toStartWith(`${EVENTS}data: {"error":{"message":"The answer broke off: `);
  expect(body).toEndWith("\n\n");
  expect(body).not.toContain("[DONE]");
}

for (const [what, breaking] of Object.entries(BREAKS)) {
  for (const version of ["1.1", "1.0"] as const) {
    test(`${what}: an HTTP/${version} client gets a last event, then a broken connection`, async () => {
      const how = [{ send: SSE_HEAD + chunk(EVENTS) }, ...breaking];
      expectBroken(await get("/v1/chat/completions", how, version));
    });
  }
}

test("and at the idle time limit", async () => {
  await using limited = await startProxy(["--node", engine.url, "--idle-timeout", "0.3"]);
  await untilHealthy(limited);
  for (const version of ["1.1", "1.0"] as const) {
    const how = [{ send: SSE_HEAD + chunk(EVENTS) }];
    expectBroken(await get("/v1/chat/completions", how, version, limited.port));
  }
});

const DIALECTS: readonly (readonly [path: string, lastEvent: string])[] = [
  ["/v1/chat/completions", OPENAI_EVENT],
  ["/v1/completions?x=1", OPENAI_EVENT],
  ["/generate", OPENAI_EVENT],
  [
    "/v1/responses",
    `event: error\ndata: {"type":"error","code":"upstream_error","message":"${MESSAGE}","param":null,"sequence_number":0}\n\n`,
  ],
  [
    "/v1/messages",
    `event: error\ndata: {"type":"error","error":{"type":"api_error","message":"${MESSAGE}"},"request_id":"ID"}\n\n`,
  ],
];

for (const [path, lastEvent] of DIALECTS) {
  test(`the last event of ${path} is in its dialect`, async () => {
    const answer = await get(path, [{ send: SSE_HEAD + chunk(EVENTS) }, SEEN, { close: true }]);
    const body = answer.body.toString().replace(/req-[\da-f]{24}/, "ID");
    expect(body).toBe(EVENTS + lastEvent);
  });
}

test("cut at any byte: a last event only between two events, never an end that looks whole", async () => {
  const bytes = Buffer.from(EVENTS);
  const firstEvent = bytes.indexOf("\n\n") + 2;
  const cuts = Array.from(bytes.keys(), (index) => index + 1);
  const exchanges: RawExchange[] = [];
  const cutting = startRawServer({
    script: ({ body }) => {
      const cut = Number(/"cut":(\d+)/.exec(Buffer.from(body).toString())?.[1]);
      const piece = Buffer.concat([Buffer.from(`${cut.toString(16)}\r\n`), bytes.subarray(0, cut)]);
      const first = { send: SSE_HEAD };
      if (cut < firstEvent) return [first, { send: piece }, { waitMs: 20 }, { close: true }];
      const hold = () => seen(exchanges[cut - 1] ?? client, cut);
      return [first, { send: piece }, { hold }, { close: true }];
    },
  });
  await using cutProxy = await startProxy(["--node", cutting.url]);
  await untilHealthy(cutProxy);
  for (const cut of cuts) {
    exchanges.push(rawPost(cutProxy.port, "/generate", { model: "tiny", cut }));
  }
  const answers = await Promise.all(exchanges.map(({ ended }) => ended));
  for (const [index, answer] of answers.entries()) {
    if ((cuts[index] ?? 0) < firstEvent) {
      // Nothing has been said yet: another engine could have.
      expect(answer).toMatchObject({ status: 502, complete: true });
      continue;
    }
    expect(answer).toMatchObject({ complete: false, connection: "reset" });
    const sent = bytes.subarray(0, cuts[index]).toString("latin1");
    const isBetween = /(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)$/.test(sent);
    expect(answer.body.toString("latin1")).toBe(sent + (isBetween ? OPENAI_EVENT : ""));
  }
  cutting.stop();
});

test("a body that is no event stream is aborted, nothing added", async () => {
  const text = "x".repeat(200_000);
  const short = httpAnswer(text).replace("length: 200000", "length: 300000");
  for (const breaking of [{ close: true }, { reset: true }] as const) {
    for (const version of ["1.1", "1.0"] as const) {
      const answer = await get(
        "/v1/embeddings",
        [{ send: short }, delivered(text), breaking],
        version,
      );
      expect(answer).toMatchObject({ status: 200, complete: false, connection: "reset" });
      expect(answer.body.toString()).toBe(text);
    }
  }
});

test("an engine killed under 30 streams: each ends with the event and broken, nothing is left over", async () => {
  await using dying = await startEngineProcess({ timeScale: 1 });
  await using killed = await startProxy(["--node", dying.url]);
  await untilHealthy(killed);
  const messages = [{ role: "user", content: "Go on." }];
  const body = { model: "tiny", messages, max_tokens: 5_000, ignore_eos: true, stream: true };
  const exchanges = times(30, null).map(() => rawPost(killed.port, "/v1/chat/completions", body));
  await until("all of them have begun", () =>
    exchanges.every(({ receivedBytes }) => receivedBytes > 0),
  );
  dying.kill("SIGKILL");
  for (const { ended } of exchanges) {
    const answer = await ended;
    expect(answer).toMatchObject({ status: 200, complete: false, connection: "reset" });
    expect(answer.body.toString()).toEndWith(OPENAI_EVENT);
  }
  await until("none is counted", async () => {
    return (await killed.status())[dying.url]?.unfinished === 0;
  });
});

test("a stream of events is one in whatever case its type is written", async () => {
  const head = SSE_HEAD.replace("text/event-stream", "Text/Event-Stream; charset=utf-8");
  const answer = await get("/v1/completions", [
    { send: head + chunk(EVENTS) },
    SEEN,
    { reset: true },
  ]);
  expect(answer.body.toString()).toBe(EVENTS + OPENAI_EVENT);
});

const OPEN_END = "HTTP/1.1 200 OK\r\ncontent-type: ";

function bodyOf(text: string): string {
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

/** Texts in JSON that are cut behind these look whole by their last byte, some of them. */
const CUT_JSON = ['{"data":[1,', '{"data":"1"', '"data', '{"data":[{}', '{"data":"{\\"}'] as const;
/** So much of one is read before any of it is handed on. */
const LONG = " ".repeat(2_000);

test.each([
  ...CUT_JSON.map((text): [string, string, string] => [
    `JSON, ${text}`,
    "/v1/embeddings",
    `${OPEN_END}application/json\r\n\r\n${LONG}${text}`,
  ]),
  ["a stream in an event", "/generate", `${OPEN_END}text/event-stream\r\n\r\ndata: a\n\ndata: b`],
  ["a stream between two", "/v1/completions", `${OPEN_END}text/event-stream\r\n\r\ndata: a\n\n`],
  ...["an error", "say [DONE]", "message_stop", "response.completed", '"type":"message_stop"'].map(
    (words): [string, string, string] => [
      `a stream whose model wrote ${words}`,
      "/v1/completions",
      `${OPEN_END}text/event-stream\r\n\r\ndata: ${JSON.stringify({ choices: [{ text: words }] })}\n\n`,
    ],
  ),
  [
    "a coding that is no chunks",
    "/v1/embeddings",
    `${OPEN_END}application/json\r\ntransfer-encoding: identity\r\n\r\n${LONG}{"data":[1,`,
  ],
])("an answer without length that is reset in its middle is broken: %s", async (_, path, sent) => {
  const answer = await get(path, [{ send: sent }, delivered(bodyOf(sent)), { reset: true }]);
  expect(answer).toMatchObject({ status: 200, complete: false, connection: "reset" });
});

test.each([
  ["JSON", `${OPEN_END}application/json\r\n\r\n{"data":[1]}\n`],
  ["a number", `${OPEN_END}application/json\r\n\r\n3.5\n`],
  ["a string", `${OPEN_END}application/json\r\n\r\n"a {\\"b\\": "`],
  ["a long string", `${OPEN_END}application/json\r\n\r\n"${"a".repeat(10_000)}"`],
  ["a stream", `${OPEN_END}text/event-stream\r\n\r\ndata: a\n\ndata: [DONE]\n\n`],
  [
    "a stream of unlike line ends",
    `${OPEN_END}text/event-stream\r\n\r\ndata: a\r\n\ndata: [DONE]\n\r\n`,
  ],
  ["a comment last", `${OPEN_END}text/event-stream\r\n\r\ndata: a\n\ndata: [DONE]\n\n: bye\n\n`],
  ...[
    "event: message_stop\ndata: {}",
    'data: {"sequence_number":9,"response":{},"type":"response.completed"}',
    'data: {"object":"error","message":"x"}',
    'error: {"message":"x"}',
  ].map((last): [string, string] => [
    `a stream that ends with ${last}`,
    `${OPEN_END}text/event-stream\r\n\r\ndata: a\n\n${last}\n\n`,
  ]),
  [
    "chunks not, JSON",
    `${OPEN_END}application/json\r\ntransfer-encoding: identity\r\n\r\n{"data":[1]}`,
  ],
  ["packed JSON", `${OPEN_END}application/json\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b packed`],
])("one that ends with its connection is whole: %s", async (_, sent) => {
  const answer = await get("/v1/completions", [
    { send: sent },
    delivered(bodyOf(sent)),
    { close: true },
  ]);
  expect(answer).toMatchObject({ status: 200, complete: true });
});

test.each(["", ...CUT_JSON])(
  "one in JSON of which nothing, or little, has come is none: %s",
  async (text) => {
    steps = [
      { send: `${OPEN_END}application/json\r\n\r\n${text}` },
      { waitMs: 20 },
      { reset: true },
    ];
    const answer = await rawPost(proxy.port, "/v1/embeddings", { model: "tiny" }).ended;
    expect(answer.status).toBe(502);
  },
);
