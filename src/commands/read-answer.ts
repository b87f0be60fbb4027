/** Answers to commands, read up to a limit: who stands at the address may be somebody else, and never come to an end. */

/** What goes with a request whose answer is read here: what is small packed may be without end unpacked. */
export const UNPACKED = {
  headers: { "accept-encoding": "identity" },
  init: { decompress: false, redirect: "manual" },
} as const;

export class AnswerTooLongError extends Error {
  override readonly name = "AnswerTooLongError";
}

/** @throws AnswerTooLongError, and whatever breaks the connection */
export async function readAnswer({ body }: Response, maxBytes: number): Promise<string> {
  if (body === null) return "";
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > maxBytes) {
      void reader.cancel().catch(() => {});
      throw new AnswerTooLongError(`the answer is longer than ${maxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}
