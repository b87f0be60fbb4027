/** Streams that begin without saying anything, and failures that say 200. */
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { times } from "../support/ask.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { chunk } from "../support/raw-answers.ts";
import { type RawExchange, rawPost } from "../support/raw-client.ts";
import { httpAnswer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const SSE_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";
const CHAT = "/v1/chat/completions";

/** How the next requests go, whichever engines they reach; then all go well. */
const plan: (readonly RawStep[])[] = [];
let asleep = false;
/** What an engine says that is well. */
let good: readonly string[] = [];
/** Enough that those which a case puts out are not missed by the next. */
const engines = times(60, null).map(() =>
  startRawServer({
    script({ method, target }) {
      if (asleep && target === "/is_sleeping")
        return [{ send: httpAnswer(`{"is_sleeping": true}`) }];
      if (method === "GET") return [{ send: httpAnswer("", [], "404 X") }];
      return plan.shift() ?? stream(...good);
    },
  }),
);
let proxy: ProxyProcess;

beforeAll(async () => {
  proxy = await startProxy(engines.flatMap(({ url }) => ["--node", url]));
  await untilHealthy(proxy, engines.length);
});
beforeEach(() => {
  plan.length = 0;
});
afterAll(async () => {
  await proxy.end("SIGKILL");
  for (const engine of engines) engine.stop();
});

function stream(...events: readonly string[]): RawStep[] {
  return [
    { send: SSE_HEAD },
    ...events.filter((event) => event !== "").map((event) => ({ send: chunk(event) })),
    { send: LAST_CHUNK },
  ];
}

/** The same, but lost after the last event, which is read before. */
function lost(...events: readonly string[]): RawStep[] {
  return [...stream(...events).slice(0, -1), { waitMs: 20 }, { reset: true }];
}

function event(data: object | string, name = ""): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return `${name === "" ? "" : `event: ${name}\n`}data: ${text}\n\n`;
}

function named(type: string, fields: object = {}): string {
  return event({ type, ...fields }, type);
}

function post(path: string): RawExchange {
  return rawPost(proxy.port, path, { model: "tiny", stream: true });
}

const role = event({ choices: [{ index: 0, delta: { role: "assistant", content: "" } }] });
const word = event({ choices: [{ index: 0, delta: { content: "Hi" } }] });
const DONE = event("[DONE]");
const APIS = {
  [CHAT]: { opening: [role], rest: [word, DONE] },
  "/v1/completions": {
    opening: [": wait\n\n"],
    rest: [event({ choices: [{ index: 0, text: "Hi" }] }), DONE],
  },
  "/v1/messages": {
    opening: [
      named("message_start", { message: { id: "1", content: [] } }),
      named("ping"),
      named("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
    ],
    rest: [named("content_block_delta", { delta: { text: "Hi" } }), named("message_stop")],
  },
  "/v1/responses": {
    opening: [
      named("response.created", { response: { instructions: "x".repeat(50_000) } }),
      named("response.in_progress", { response: {} }),
    ],
    rest: [named("response.output_text.delta", { delta: "Hi" }), named("response.completed")],
  },
} as const;

test.each(Object.entries(APIS))(
  "%s: an engine lost before the first word is replaced, and nothing of it is seen",
  async (path, { opening, rest }) => {
    good = [...opening, ...rest];
    plan.push(lost(...opening));
    const answer = await post(path).ended;
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(answer.body.toString()).toBe(good.join(""));
    expect(plan.length).toBe(0);
  },
);

test.each(Object.entries(APIS))(
  "%s: after the first word it breaks",
  async (path, { opening, rest }) => {
    const heard = () => until("the client has heard it", () => exchange.receivedBytes > 0);
    plan.push([...stream(...opening, rest[0]).slice(0, -1), { hold: heard }, { reset: true }]);
    const exchange = post(path);
    const answer = await exchange.ended;
    expect(answer).toMatchObject({ status: 200, complete: false });
    expect(answer.body.toString()).toStartWith([...opening, rest[0]].join(""));
  },
);

test("the opening waits for the first word, and comes with it", async () => {
  const { opening, rest } = APIS["/v1/messages"];
  plan.push([...stream(...opening).slice(0, -1), { waitMs: 300 }, { send: chunk(rest[0]) }]);
  const exchange = post("/v1/messages");
  await until("something has come", () => exchange.receivedBytes > 0);
  expect(exchange.answer().body.toString()).toBe([...opening, rest[0]].join(""));
  exchange.leave();
});

const FAILURES = [
  ["LMDeploy's", CHAT, event({ error: { message: "x", type: "server_error", code: 503 } }) + DONE],
  [
    "vLLM's",
    CHAT,
    role + event({ error: { message: "x", type: "InternalServerError", code: 500 } }) + DONE,
  ],
  [
    "Anthropic's",
    "/v1/messages",
    named("error", { error: { type: "overloaded_error", message: "x" } }),
  ],
  [
    "a response's",
    "/v1/responses",
    named("response.created") +
      named("response.failed", { response: { error: { code: "server_error" } } }),
  ],
  ["nothing", CHAT, DONE],
  ["nothing at all", CHAT, ": x\n\n"],
  ["no byte", CHAT, ""],
  ["an abort", CHAT, event({ choices: [{ delta: {}, finish_reason: "abort" }] }) + DONE],
] as const;

/** The same in one piece, of known length, as a proxy in between may make of it. */
function gathered(events: string): RawStep[] {
  const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
  return [{ send: `${head}content-length: ${Buffer.byteLength(events)}\r\n\r\n${events}` }];
}

test.each(FAILURES)("%s failure under 200 goes round again", async (_, path, failing) => {
  good = [...APIS[path].opening, ...APIS[path].rest];
  for (const how of [stream, gathered]) {
    // The budget of retries is a fifth of these and three more, enough for a case.
    await Promise.all(times(10, null).map(() => post(path).ended));
    plan.push(how(failing));
    const answer = await post(path).ended;
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(answer.body.toString()).toBe(good.join(""));
  }
});

test.each(Object.entries(APIS))(
  "%s: a stream of known length that is well comes as it is",
  async (path, { opening, rest }) => {
    const events = [...opening, ...rest].join("");
    plan.push(gathered(events));
    const answer = await post(path).ended;
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(answer.body.toString()).toBe(events);
  },
);

const ABORTED = '{"choices":[{"finish_reason":"abort"}]}';
const CHUNKED =
  "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

test.each([
  ["of known length", [{ send: httpAnswer(ABORTED) }]],
  ["in a chunk", [{ send: `${CHUNKED}${chunk(ABORTED)}0\r\n\r\n` }]],
  [
    "in two",
    [
      { send: CHUNKED + chunk(ABORTED.slice(0, 9)) },
      { waitMs: 20 },
      { send: `${chunk(ABORTED.slice(9))}0\r\n\r\n` },
    ],
  ],
])("a whole answer that was given up goes round again: %s", async (_, steps) => {
  const whole = '{"choices":[{"finish_reason":"stop"}]}';
  plan.push(steps);
  plan.push([{ send: httpAnswer(whole) }]);
  const answer = await rawPost(proxy.port, CHAT, { model: "tiny" }).ended;
  expect(answer.body.toString()).toBe(whole);
});

test.each([
  ["chat", CHAT, { error: { message: "boom", type: "server_error", code: 500 } }],
  ["an older engine's chat", CHAT, { object: "error", message: "full", code: 503 }],
  ["a response", "/v1/responses", { error: { message: "boom" } }],
  ["a message", "/v1/messages", { type: "error", error: { type: "overloaded_error" } }],
])("a whole answer that is nothing but an error goes round again: %s", async (_, path, error) => {
  plan.push([{ send: httpAnswer(JSON.stringify(error)) }]);
  plan.push([{ send: httpAnswer('{"choices":[1],"output":[1],"content":[1]}') }]);
  const answer = await rawPost(proxy.port, path, { model: "tiny" }).ended;
  expect(answer.body.toString()).toContain('"content":[1]');
});

test("a part of an answer that a well engine gave up was aborted by somebody: it is what they get", async () => {
  const parts = [{ message: { content: "So far" } }, { text: "so good" }];
  for (const part of parts) {
    const whole = JSON.stringify({ choices: [{ ...part, finish_reason: "abort" }] });
    plan.push([{ send: httpAnswer(whole) }]);
    const answer = await rawPost(proxy.port, CHAT, { model: "tiny" }).ended;
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(answer.body.toString()).toBe(whole);
  }
});

test("one that an engine gave up to sleep goes round again", async () => {
  asleep = true;
  const part = '{"choices":[{"text":"so far","finish_reason":"abort"}]}';
  const whole = '{"choices":[{"text":"so good","finish_reason":"stop"}]}';
  plan.push([{ send: httpAnswer(part) }], [{ send: httpAnswer(whole) }]);
  const answer = await rawPost(proxy.port, "/v1/completions", { model: "tiny" }).ended;
  asleep = false;
  expect(answer.body.toString()).toBe(whole);
});

test("where nothing else is left, the client gets the engine's own bytes", async () => {
  const failing = event({ error: { message: "full", code: 503 } }) + DONE;
  const sick = startRawServer({ script: () => stream(failing) });
  await using alone = await startProxy(["--node", sick.url]);
  await untilHealthy(alone);
  const answer = await rawPost(alone.port, CHAT, { model: "tiny", stream: true }).ended;
  expect(answer).toMatchObject({ status: 200, complete: true });
  expect(answer.body.toString()).toBe(failing);
  sick.stop();
});

test("what fails quickly under 200 is no good answer: it has no latency", async () => {
  const failing = event({ error: { message: "x", code: 500 } }) + DONE;
  const late = word + failing;
  for (const text of [failing, late]) {
    const sick = startRawServer({
      script: ({ method }) =>
        method === "GET"
          ? [{ send: httpAnswer("", [], "404 X") }]
          : stream(...text.split(/(?<=\n\n)/)),
    });
    await using alone = await startProxy(["--node", sick.url]);
    await untilHealthy(alone);
    const answers = [];
    for (let i = 0; i < 2; i += 1) {
      const exchange = rawPost(alone.port, CHAT, { model: "tiny", stream: true });
      answers.push((await exchange.ended).body.toString());
    }
    expect(answers).toEqual([text, text]);
    expect((await alone.status())[sick.url]?.latency).toEqual([]);
    sick.stop();
  }
});

test("lines that a model writes by Unicode's separators are its words, and no failure of its node", async () => {
  const words = ["\u2028event: error\u2028", '\u2029data: {"error":"x"}'];
  const text = word + event({ choices: [{ delta: { content: words.join("") } }] }) + DONE;
  const engine = startRawServer({ script: () => stream(...text.split(/(?<=\n\n)/)) });
  await using alone = await startProxy(["--node", engine.url]);
  await untilHealthy(alone);
  for (let i = 0; i < 2; i += 1) {
    const answer = await rawPost(alone.port, CHAT, { model: "tiny", stream: true }).ended;
    expect(answer.body.toString()).toBe(text);
  }
  expect((await alone.status())[engine.url]?.latency).toHaveLength(2);
  engine.stop();
});

test("--first-byte-timeout is about the first word", async () => {
  const { opening } = APIS["/v1/messages"];
  const slow = startRawServer({ script: () => stream(...opening).slice(0, -1) });
  await using limited = await startProxy(["--node", slow.url, "--first-byte-timeout", "0.3"]);
  await untilHealthy(limited);
  const body = { model: "tiny", stream: true };
  expect((await rawPost(limited.port, "/v1/messages", body).ended).status).toBe(504);
  slow.stop();
});
