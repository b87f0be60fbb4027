import type { AdminAnswer } from "../cluster/messages.ts";

/** An answer as it is sent from one process to another. */
export async function packed(response: Response): Promise<AdminAnswer> {
  const { status, headers } = response;
  return { status, headers: [...headers], body: await response.bytes() };
}

/** The answer that was packed; null for what is none. */
export function answerOf(value: unknown): Response | null {
  if (!isAnswer(value)) return null;
  const { status, body } = value;
  const headers = new Headers();
  for (const [name, text] of value.headers) headers.append(name, text);
  return new Response(body.length === 0 ? null : body, { status, headers });
}

function isAnswer(value: unknown): value is AdminAnswer {
  return typeof value === "object" && value !== null && "status" in value && "body" in value;
}
