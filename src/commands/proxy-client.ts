/** Calls to a running proxy's administration, with failures that a person can act on. */
import { CommandError } from "./command-error.ts";
import { type NodeStatus, readStatus } from "./node-table.ts";

/** Limit of one call, ms: the proxy answers administration at once, terminate after its engine. */
const CALL_TIMEOUT_MS = 30_000;

export class ProxyClient {
  readonly #url: string;
  readonly #key: string | null;

  /** @param url the proxy's, with or without a trailing slash */
  constructor(url: string, key: string | null) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
  }

  /** @throws CommandError when the proxy cannot be reached or refuses */
  async status(): Promise<Readonly<Record<string, NodeStatus>>> {
    const nodes = readStatus(await this.#call("GET", "/nodes/status"));
    if (nodes === null) {
      throw new CommandError(`${this.#url} answers, but not as lmproxy does; check --proxy-url`);
    }
    return nodes;
  }

  /** @throws CommandError when the proxy cannot be reached or refuses */
  async post(path: string, body: object): Promise<unknown> {
    return await this.#call("POST", path, JSON.stringify(body));
  }

  /** @throws CommandError when the proxy cannot be reached or refuses */
  async get(path: string): Promise<unknown> {
    return await this.#call("GET", path);
  }

  async #call(method: string, path: string, body?: string): Promise<unknown> {
    const { status, text } = await this.#send(method, path, body);
    const answer = parseJson(text);
    if (status === 200) return answer;
    const advice = status === 401 || status === 403 ? "; give its key with --admin-key" : "";
    throw new CommandError(`the proxy refused (${status}): ${messageOf(answer)}${advice}`);
  }

  async #send(method: string, path: string, body: string | undefined) {
    try {
      const response = await fetch(this.#url + path, {
        method,
        redirect: "manual",
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(this.#key === null ? {} : { authorization: `Bearer ${this.#key}` }),
        },
        ...(body === undefined ? {} : { body }),
      });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      throw new CommandError(
        `cannot reach the proxy at ${this.#url} (${reasonOf(error)}); choose another with --proxy-url`,
      );
    }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  return "code" in error && typeof error.code === "string" ? error.code : oneLine(error.message);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The message of `{"message"}` or of OpenAI's `{"error": {"message"}}`. */
export function messageOf(answer: unknown): string {
  if (typeof answer !== "object" || answer === null) return "no reason given";
  if ("message" in answer && typeof answer.message === "string") return oneLine(answer.message);
  return "error" in answer ? messageOf(answer.error) : "no reason given";
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
}
