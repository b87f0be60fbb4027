/** What the page asks of the proxy, beside the stream of what happens. */
import { keys } from "./keys.ts";

/** Something went wrong; its message is for the user. */
export class CallError extends Error {
  /** 0 when there was no answer. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A value of an answer that nobody has checked; undefined where there is none. */
export function fieldOf(value: unknown, ...path: readonly (string | number)[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null) return undefined;
    found = new Map(Object.entries(found)).get(String(name));
  }
  return found;
}

export function textOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function authorization(key: string | null): Record<string, string> {
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** @throws CallError */
export async function refusalOf(answer: Response): Promise<CallError> {
  const body: unknown = await answer.json().catch(() => null);
  const message = textOf(fieldOf(body, "error", "message")) || textOf(fieldOf(body, "message"));
  return new CallError(answer.status, message || `The proxy answered ${answer.status}.`);
}

/** An administrator's call. @throws CallError */
export async function call(
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: object,
): Promise<unknown> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      headers: {
        ...authorization(keys.admin),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new CallError(0, "The proxy cannot be reached.");
  }
  if (!answer.ok) throw await refusalOf(answer);
  return await answer.json();
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
