/** The same request to the engine and through lmproxy in front of it: status, type and body must agree. */
import OpenAI from "openai";
import type { ProxyProcess } from "../../test/support/proxy.ts";
import type { Engine } from "./engine.ts";
import type { Row } from "./report.ts";

interface Ask {
  readonly what: string;
  readonly path: string;
  /** A text goes as it is. */
  readonly body: object | string;
  readonly type?: string;
}

const HELLO = [{ role: "user", content: "Say it: “žluťoučký kůň” 🐎" }];
const chat = (more: object = {}) => ({
  ...{ model: "tiny", messages: HELLO, max_tokens: 24, temperature: 0, seed: 1, ignore_eos: true },
  ...more,
});
const text = (more: object = {}) => ({
  ...{ model: "tiny", prompt: "One two three", max_tokens: 24, temperature: 0, seed: 1 },
  ...{ ignore_eos: true, ...more },
});
const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";
const MESSAGES = "/v1/messages";
const RESPONSES = "/v1/responses";
const responses = (more: object = {}) => ({
  ...{ model: "tiny", input: "Hello", max_output_tokens: 24, temperature: 0, store: false },
  ...more,
});

const ASKS: readonly Ask[] = [
  { what: "chat", path: CHAT, body: chat() },
  { what: "chat, streamed", path: CHAT, body: chat({ stream: true }) },
  {
    what: "chat, streamed with usage",
    path: CHAT,
    body: chat({ stream: true, stream_options: { include_usage: true } }),
  },
  { what: "chat, log probabilities", path: CHAT, body: chat({ logprobs: true, top_logprobs: 2 }) },
  { what: "chat, n = 2", path: CHAT, body: chat({ n: 2 }) },
  { what: "chat, a tool", path: CHAT, body: chat({ tools: [tool()], tool_choice: "none" }) },
  { what: "chat, messages a text", path: CHAT, body: chat({ messages: "Hello" }) },
  {
    what: "chat, a field nobody knows",
    path: CHAT,
    body: chat({ x_unknown: { a: [1, 2 ** 53] } }),
  },
  { what: "completions", path: TEXT, body: text() },
  { what: "completions, streamed", path: TEXT, body: text({ stream: true }) },
  { what: "completions, two prompts", path: TEXT, body: text({ prompt: ["One", "Two"] }) },
  { what: "completions, token ids", path: TEXT, body: text({ prompt: [5, 6, 7] }) },
  { what: "completions, echo", path: TEXT, body: text({ echo: true }) },
  { what: "responses", path: RESPONSES, body: responses() },
  { what: "responses, streamed", path: RESPONSES, body: responses({ stream: true }) },
  { what: "messages", path: MESSAGES, body: chat({ seed: undefined }) },
  { what: "messages, streamed", path: MESSAGES, body: chat({ seed: undefined, stream: true }) },
  {
    what: "messages, tokens counted",
    path: "/v1/messages/count_tokens",
    body: { model: "tiny", messages: HELLO },
  },
  { what: "embeddings", path: "/v1/embeddings", body: { model: "tiny", input: "Hello" } },
  {
    what: "tokenize",
    path: "/tokenize",
    body: { model: "tiny", prompt: "Hello", content: "Hello" },
  },
  { what: "pooling", path: "/pooling", body: { model: "tiny", input: "Hello" } },
  { what: "rerank", path: "/v1/rerank", body: { model: "tiny", query: "a", documents: ["b"] } },
  { what: "no messages", path: CHAT, body: { model: "tiny" } },
  { what: "no message in the list", path: CHAT, body: chat({ messages: [] }) },
  { what: "temperature a word", path: CHAT, body: chat({ temperature: "hot" }) },
  { what: "max_tokens a word", path: CHAT, body: chat({ max_tokens: "many" }) },
  { what: "a prompt beyond the context", path: TEXT, body: text({ prompt: "x ".repeat(9_000) }) },
  {
    what: "the same, streamed",
    path: TEXT,
    body: text({ prompt: "x ".repeat(9_000), stream: true }),
  },
  { what: "another content type", path: CHAT, body: JSON.stringify(chat()), type: "text/plain" },
  { what: "a path nobody knows", path: "/v1/nowhere", body: chat() },
];

const ADAPTER_ASKS: ReadonlySet<string> = new Set([
  ...["chat", "chat, streamed", "completions", "completions, streamed", "responses, streamed"],
]);

function tool(): object {
  const parameters = { type: "object", properties: { city: { type: "string" } } };
  return { type: "function", function: { name: "weather", parameters } };
}

/** What differs between any two answers of one engine: names of answers, times, what caches held. */
const VARYING: readonly [RegExp, string][] = [
  [/\b(?:chatcmpl|cmpl|resp|msg|rs|embd|pool|rerank|score)[-_][\w-]{8,}/g, "ID"],
  [/"(id|item_id|request_id)":(\s?)"[\w-]{16,}"/g, '"$1":$2"ID"'],
  [/"(created|created_at|completed_at)":(\s?)[\d.]+/g, '"$1":$2TIME'],
  [/"timings":\s?\{[^}]*\}/g, '"timings":TIMES'],
  [/"(cached_tokens|cache_n|cache_read_input_tokens)":(\s?)\d+/g, '"$1":$2N'],
];

/** Answers of the engine alone among which the one through lmproxy has to be. */
const MOST_ALONE = 8;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

async function answerOf(base: string, { path, body, type }: Ask): Promise<Answer> {
  const answer = await fetch(base + path, {
    method: "POST",
    headers: { "content-type": type ?? "application/json", "anthropic-version": "2023-06-01" },
    body: typeof body === "string" ? body : JSON.stringify(body),
    keepalive: false,
    signal: AbortSignal.timeout(60_000),
  });
  // Latin-1 keeps every byte.
  let text = Buffer.from(await answer.bytes()).toString("latin1");
  for (const [pattern, shown] of VARYING) text = text.replaceAll(pattern, shown);
  return { status: answer.status, type: answer.headers.get("content-type") ?? "", body: text };
}

/** Where two texts part, with what each says there. */
function difference(alone: Answer, through: Answer): string | null {
  if (alone.status !== through.status) {
    return `status ${alone.status} alone, ${through.status} through: ${through.body.slice(0, 160)}`;
  }
  if (alone.type !== through.type) return `type ${alone.type} alone, ${through.type} through`;
  if (alone.body === through.body) return null;
  let at = 0;
  while (alone.body[at] === through.body[at]) at += 1;
  const around = (body: string) => body.slice(Math.max(0, at - 20), at + 60);
  return `body from byte ${at}: "${around(alone.body)}" alone, "${around(through.body)}" through`;
}

/** Asks all of it; requests whose answers differ and the model's name that lmproxy answers itself stand out. */
export async function compareBytes(engine: Engine, proxy: ProxyProcess): Promise<Row[]> {
  const rows = await compareAsks(engine, proxy, ASKS, "bytes");
  return [...rows, ...(await askWithClient(engine, proxy))];
}

/** Asks an adapter for chats and completions, whole and streamed. */
export function compareAdapter(engine: Engine, proxy: ProxyProcess, model: string): Promise<Row[]> {
  const asks = ASKS.flatMap((ask) =>
    ADAPTER_ASKS.has(ask.what) ? [{ ...ask, body: { ...Object(ask.body), model } }] : [],
  );
  return compareAsks(engine, proxy, asks, "adapters");
}

async function compareAsks(
  engine: Engine,
  proxy: ProxyProcess,
  asks: readonly Ask[],
  part: string,
): Promise<Row[]> {
  const same: string[] = [];
  const rows: Row[] = [];
  const row = (what: string, verdict: Row["verdict"], seen: string) =>
    rows.push({ part, kind: engine.kind.name, what, verdict, seen });
  for (const ask of asks) {
    // The first warms the engine's caches; two that differ say that the engine itself varies.
    let alone: Answer[];
    let through: Answer;
    try {
      alone = [await answerOf(engine.url, ask), await answerOf(engine.url, ask)];
      through = await answerOf(proxy.url, ask);
      // Where an engine cuts a stream into pieces depends on what else the machine does.
      while (alone.length < MOST_ALONE && alone.every((each) => difference(each, through) !== null))
        alone.push(await answerOf(engine.url, ask));
    } catch (error) {
      row(ask.what, "bad", String(error));
      continue;
    }
    const found = alone.map((each) => difference(each, through));
    if (found.includes(null)) same.push(`${ask.what} (${through.status})`);
    else row(ask.what, isOwnAnswer(ask, through) ? "limit" : "bad", found[1] ?? "");
  }
  row(
    `${same.length} of ${asks.length} requests: same status, type and bytes`,
    "good",
    same.join(", "),
  );
  return rows;
}

/** lmproxy answers these itself. */
function isOwnAnswer({ path }: Ask, { status }: Answer): boolean {
  return status === 404 && (path === "/pooling" || path === "/tokenize");
}

/** OpenAI's own client, through lmproxy. */
async function askWithClient(engine: Engine, proxy: ProxyProcess): Promise<Row[]> {
  const client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: "none", maxRetries: 0 });
  const models = (await client.models.list()).data.map(({ id }) => id);
  const messages = [{ role: "user" as const, content: "Hello" }];
  const asked = { model: "tiny", messages, max_tokens: 8 };
  const whole = await client.chat.completions.create(asked);
  let pieces = 0;
  for await (const _ of await client.chat.completions.create({ ...asked, stream: true }))
    pieces += 1;
  const isGood = models.join() === "tiny" && whole.choices.length === 1 && pieces > 2;
  return [
    {
      ...{ part: "bytes", kind: engine.kind.name, what: "OpenAI's client" },
      verdict: isGood ? "good" : "bad",
      seen: `models ${models.join()}; chat whole; chat streamed in ${pieces} pieces`,
    },
  ];
}
