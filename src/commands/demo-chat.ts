/** Chat completions of the demo: one streamed, as its pieces arrive, and whole ones. */
import { CommandError } from "./command-error.ts";
import { messageOf } from "./proxy-client.ts";

/**
 * The pieces of text of a streamed answer.
 *
 * @throws CommandError when the answer is an error
 */
export async function* streamChat(
  url: string,
  model: string,
  prompt: string,
): AsyncGenerator<string> {
  const response = await post(url, { ...chatBody(model, prompt), stream: true });
  if (response.body === null) throw new CommandError("the answer is empty");
  for await (const line of lines(response.body)) {
    if (line === "data: [DONE]") return;
    if (line.startsWith("data: ")) yield deltaOf(JSON.parse(line.slice("data: ".length)));
  }
  throw new CommandError("the answer broke off before its end");
}

/**
 * Resolves when a whole answer of exactly so many tokens is there.
 *
 * @throws CommandError when the answer is an error
 */
export async function wholeChat(
  url: string,
  model: string,
  prompt: string,
  tokens: number,
): Promise<void> {
  const length = { max_tokens: tokens, ignore_eos: true };
  await (await post(url, { ...chatBody(model, prompt), ...length })).json();
}

/** What to copy for another one. */
export function curlFor(url: string, model: string): string {
  const body = `{"model": "${model}", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}`;
  return `curl ${url}/v1/chat/completions -H 'Content-Type: application/json' \\\n  -d '${body}'`;
}

function chatBody(model: string, prompt: string): object {
  return { model, messages: [{ role: "user", content: prompt }] };
}

async function post(url: string, body: object): Promise<Response> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (response.status === 200) return response;
  const answer: unknown = await response.json().catch(() => null);
  throw new CommandError(`the proxy answered ${response.status}: ${messageOf(answer)}`);
}

async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}

/** `choices[0].delta.content`, where there is one. */
function deltaOf(event: unknown): string {
  const choices = fieldOf(event, "choices");
  const delta = fieldOf(Array.isArray(choices) ? choices[0] : null, "delta");
  const content = fieldOf(delta, "content");
  return typeof content === "string" ? content : "";
}

function fieldOf(value: unknown, name: string): unknown {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
  return entries.find(([key]) => key === name)?.[1];
}
