/** Requests whose answers were recorded from a real engine, and what of an answer is compared. */

export interface Asked {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** Sent as it is. */
  readonly body?: string;
  /** Default `application/json`, with a body. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";
const VERSION = { "anthropic-version": "2023-06-01" };
const MESSAGES = [{ role: "user", content: "hi" }];

function post(path: string, body: object | string, more: Partial<Asked> = {}): Asked {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { method: "POST", path, body: text, ...more };
}

const chat = (more: object) => post(CHAT, { model: "tiny", messages: MESSAGES, ...more });
const completion = (more: object) => post(COMPLETIONS, { model: "tiny", ...more });
const respond = (more: object) => post("/v1/responses", { model: "tiny", ...more });
const message = (more: object) =>
  post("/v1/messages", { model: "tiny", messages: MESSAGES, ...more }, { headers: VERSION });
const get = (path: string): Asked => ({ method: "GET", path });

const USAGE = { stream: true, stream_options: { include_usage: true } };

export const REQUESTS: readonly Asked[] = [
  chat({ max_tokens: 4 }),
  chat({ max_tokens: 4, n: 2 }),
  chat({ max_tokens: 4, ...USAGE }),
  chat({ max_tokens: 2, n: 2, stream: true }),
  chat({ max_tokens: 3, stream: true, return_token_ids: true }),
  chat({ max_tokens: "3" }),
  chat({ max_tokens: 1.5 }),
  chat({ max_tokens: 0 }),
  chat({ max_completion_tokens: -1 }),
  chat({ max_tokens: "x" }),
  chat({ max_tokens: [] }),
  chat({ stream: "maybe" }),
  chat({ stream: [] }),
  chat({ n: 0 }),
  chat({ n: 129 }),
  chat({ n: 2, session_id: 5 }),
  chat({ temperature: 3 }),
  chat({ temperature: "warm" }),
  chat({ top_p: 0 }),
  chat({ top_k: -1 }),
  chat({ min_p: 2 }),
  chat({ stop: 1 }),
  chat({ tools: {} }),
  chat({ messages: "hi" }),
  chat({ messages: ["hi"] }),
  chat({ messages: [] }),
  chat({ messages: null }),
  chat({ model: "no" }),
  chat({ model: 1 }),
  post(CHAT, { messages: MESSAGES }),
  post(CHAT, "{"),
  post(CHAT, "[]"),
  post(CHAT, '"x"'),
  post(CHAT, ""),
  post(CHAT, { model: "tiny", messages: MESSAGES }, { type: "text/plain" }),
  get(CHAT),
  completion({ prompt: "once", max_tokens: 4 }),
  completion({ prompt: ["a", "b"], max_tokens: 4, n: 2 }),
  completion({ prompt: ["a", "b"], max_tokens: 3, ...USAGE }),
  completion({ prompt: "x", max_tokens: 2, session_id: 7 }),
  completion({ prompt: [1, 2] }),
  completion({ prompt: [[1, 2]] }),
  completion({ prompt: [] }),
  completion({ prompt: 5 }),
  completion({}),
  post("/generate", { prompt: "x", max_tokens: 4 }),
  post("/generate", { prompt: "x", max_tokens: 2, stream: true }),
  post("/generate", { prompt: "" }),
  post("/generate", { input_ids: [] }),
  post("/generate", { prompt: "x", input_ids: [1] }),
  post("/generate", {}),
  post("/generate", { prompt: "x", max_tokens: 0 }),
  respond({ input: "hi", max_output_tokens: 4 }),
  respond({ input: "hi", max_output_tokens: 2, stream: true }),
  respond({ model: "no", input: "hi" }),
  respond({}),
  respond({ input: [] }),
  respond({ input: "hi", temperature: "x" }),
  respond({ input: "hi", previous_response_id: "resp_1" }),
  message({ max_tokens: 3 }),
  message({ max_tokens: 3, stream: true }),
  message({}),
  message({ max_tokens: 3, model: "no" }),
  message({ max_tokens: 3, messages: [] }),
  post("/v1/messages", { model: "tiny", messages: MESSAGES, max_tokens: 3 }),
  post("/v1/messages/count_tokens", { model: "tiny", messages: MESSAGES }, { headers: VERSION }),
  post("/v1/embeddings", { model: "tiny", input: "x" }),
  post("/v1/encode", { input: "x" }),
  post("/v1/encode", { input: ["x", "y"] }),
  post("/pooling", { input: "hello" }),
  post("/pooling", { input: [] }),
  post("/tokenize", { prompt: "x" }),
  post("/sleep", "", { type: "text/plain" }),
  post("/sleep?level=3", ""),
  post("/abort_request", { session_id: 99 }),
  post("/distserve/p2p_initialize", {}),
  post("/distserve/p2p_drop_connect", {
    engine_id: "http://a:1",
    remote_engine_id: "http://b:2",
  }),
  post("/distserve/free_cache", { remote_engine_id: "x", remote_session_id: 5 }),
  post("/nothing", {}),
  get("/health"),
  get("/v1/models"),
  get("/v1/models/tiny"),
  get("/anthropic/v1/models"),
  get("/is_sleeping"),
  get("/terminate"),
  get("/version"),
];

export interface Recorded {
  readonly status: number;
  /** Content type, allow and vary, where they are there. */
  readonly headers: Readonly<Record<string, string>>;
  /** With ids, times, texts and what depends on a tokenizer put out of the way. */
  readonly body: string;
}

const COMPARED = ["content-type", "allow", "vary"];

/** Asks the engine at `url` and keeps what can be compared. */
export async function ask(url: string, { method, path, body, type, headers }: Asked) {
  const answer = await fetch(url + path, {
    method,
    // One that is used again may be closed just then.
    keepalive: false,
    headers: {
      ...(body !== undefined && { "content-type": type ?? "application/json" }),
      ...headers,
    },
    ...(body !== undefined && { body }),
  });
  const kept = COMPARED.map((name) => [name, answer.headers.get(name)]);
  return {
    status: answer.status,
    headers: Object.fromEntries(kept.filter(([, value]) => value !== null)),
    body: comparable(await answer.text()),
  };
}

function comparable(text: string): string {
  return text
    .replace(
      /"((?:item_|response_)?id)":( ?)"(chatcmpl-|resp_|msg_|modelperm-)\w+"/g,
      '"$1":$2"$3…"',
    )
    .replace(/"(created(?:_at)?)":( ?)\d+/g, '"$1":$20')
    .replace(/"(content|text|delta|output_text)":( ?)"[^"]+"/g, '"$1":$2"…"')
    .replace(/"(prompt_tokens|total_tokens|input_tokens)":( ?)\d+/g, '"$1":$20')
    .replace(/"(output_ids|input_ids)":( ?)(\[[\d, [\]]*\])/g, (_, name, space, ids) => {
      return `"${name}":${space}${String(ids).replace(/\d+/g, "0")}`;
    });
}
