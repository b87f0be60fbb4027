/** One streamed chat completion, as its pieces arrive. */
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
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model,
      stream: true,
      max_tokens: 48,
      messages: [{ role: "user", content: prompt }],
    }),
  });
  if (response.status !== 200 || response.body === null) {
    const answer: unknown = await response.json().catch(() => null);
    throw new CommandError(`the proxy answered ${response.status}: ${messageOf(answer)}`);
  }
  for await (const line of lines(response.body)) {
    if (line === "data: [DONE]") return;
    if (line.startsWith("data: ")) yield deltaOf(JSON.parse(line.slice("data: ".length)));
  }
  throw new CommandError("the answer broke off before its end");
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
