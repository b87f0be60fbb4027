/** A client that closes its connection behind a stream's last word, as OpenAI's for Python does, has had all of it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { chunk } from "../support/raw-answers.ts";
import { type RawServer, startRawServer } from "../support/raw-server.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);
const HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

function event(data: object, name?: string): string {
  const line = name === undefined ? "" : `event: ${name}\n`;
  return `${line}data: ${JSON.stringify(data)}\n\n`;
}

function word(content: string): string {
  return event({ choices: [{ index: 0, delta: { content } }] });
}

const USED = { prompt_tokens: 5, completion_tokens: 10 };
const ANSWERED = { status: 200, outcome: "answered", output_tokens: 10 };
const CHAT = "/v1/chat/completions";

const STREAMS: readonly (readonly [string, string, readonly string[], object])[] = [
  ["[DONE]", CHAT, [word("a"), event({ choices: [], usage: USED }), "data: [DONE]\n\n"], ANSWERED],
  [
    "[DONE] with other ends of lines, and a comment behind it",
    CHAT,
    [word("a"), event({ choices: [], usage: USED }), "data:[DONE]\r\n\r\n: bye\r\n\r\n"],
    ANSWERED,
  ],
  [
    "message_stop",
    "/v1/messages",
    [
      event({ type: "content_block_delta", delta: { text: "a" } }, "content_block_delta"),
      event({ type: "message_delta", usage: { output_tokens: 10 } }, "message_delta"),
      event({ type: "message_stop" }, "message_stop"),
    ],
    ANSWERED,
  ],
  [
    "a long response.completed",
    "/v1/responses",
    [
      event({ type: "response.output_text.delta", delta: "a" }),
      event({
        type: "response.completed",
        response: { instructions: "x".repeat(20_000), usage: { output_tokens: 10 } },
      }),
    ],
    ANSWERED,
  ],
  [
    "an error",
    CHAT,
    [word("a"), event({ error: { message: "out of memory", code: 500 } })],
    { status: 200, outcome: "broken" },
  ],
  [
    "a word of another choice than the one that failed",
    CHAT,
    [word("a"), event({ error: { message: "out of memory", code: 500 } }), word("b")],
    { outcome: "cancelled" },
  ],
  ["a word", CHAT, [word("a")], { outcome: "cancelled" }],
  [
    "a word that speaks of the end",
    CHAT,
    [word('an error: {"error": {"code": 500}}\n\ndata: [DONE]\n\nevent: message_stop')],
    { outcome: "cancelled" },
  ],
  ["half of the last word", CHAT, [word("a"), "data: [DONE]\n"], { outcome: "cancelled" }],
];

let engine: RawServer;
let proxy: ProxyProcess;

beforeAll(async () => {
  engine = startRawServer({
    probes: { "/metrics": [{ close: true }] },
    script: ({ head }) => {
      const [, name = ""] = /^x-request-id: (.*)$/im.exec(head) ?? [];
      const events = STREAMS.find(([what]) => idOf(what) === name)?.[2] ?? [];
      // It does not end the answer: what it does after the last word may take a while.
      return [HEAD, ...events.map(chunk)].map((send) => ({ send }));
    },
  });
  proxy = await startProxy(["--node", engine.url, "--log-format", "json"]);
  await untilHealthy(proxy, 1);
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  engine.stop();
});

function idOf(what: string): string {
  return what.replaceAll(/\W/g, "-");
}

test.each(STREAMS)("behind %s", async (what, path, events, expected) => {
  const id = idOf(what);
  const leaving = new AbortController();
  const answer = await fetch(proxy.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-request-id": id },
    body: JSON.stringify({ model: "tiny", stream: true }),
    signal: leaving.signal,
  });
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let got = "";
  while (got !== events.join("")) {
    const next = await reader?.read();
    if (next?.done !== false) throw new Error(`the stream ended after ${got}`);
    got += decoder.decode(next.value, { stream: true });
  }
  leaving.abort();
  const line = await until("it is logged", () => {
    return proxy
      .log()
      .split("\n")
      .find((each) => each.includes(`"id":"${id}"`));
  });
  expect(JSON.parse(line)).toMatchObject(expected);
  await until("its engine is free", async () => {
    const [node] = Object.values(await proxy.status());
    return node?.unfinished === 0 && engine.connections().open === 0;
  });
});
