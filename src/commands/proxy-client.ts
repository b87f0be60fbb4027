/** Calls to a running proxy's administration, with failures that a person can act on. */
import type { Static, TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { boundedText, TooLongError } from "../core/bounded-text.ts";
import { certificateAdvice } from "../core/certificate-advice.ts";
import { CommandError } from "./command-error.ts";
import { type Nodes, readStatus } from "./node-table.ts";

const MIB = 1024 * 1024;

/** Limit of one call, ms: the proxy answers administration at once, terminate after its engine. */
const CALL_TIMEOUT_MS = 30_000;

/** Limit of one that changes worker after worker, ms: a second for each, or more on a machine that has a lot to do. */
export const EVERY_WORKER_TIMEOUT_MS = 300_000;

/**
 * More than any answer of a proxy: 1,000 nodes of 4,000 adapters each, their names as long as paths, are 250 MB of
 * `/nodes/status`.
 */
const MOST_BYTES = 256 * MIB;

const NO_REASON = "no reason given";

/** Limit of finding out who answers instead of a proxy, ms. */
const WHO_TIMEOUT_MS = 2_000;
const MOST_BYTES_OF_WHO = MIB;

/** What goes with a request whose answer has a limit: what is small packed may be without end unpacked. */
export const UNPACKED = {
  headers: { "accept-encoding": "identity" },
  init: { decompress: false, redirect: "manual" },
} as const;

export class ProxyClient {
  /** Without a slash at its end. */
  readonly url: string;
  readonly #key: string | null;
  readonly #timeoutMs: number;

  /** @param url the proxy's, with or without a trailing slash */
  constructor(url: string, key: string | null, timeoutMs = CALL_TIMEOUT_MS) {
    this.#timeoutMs = timeoutMs;
    this.url = url.replace(/\/+$/, "");
    this.#key = key;
  }

  /** @throws CommandError when the proxy cannot be reached or refuses */
  async status(): Promise<Nodes> {
    const nodes = readStatus(await this.#call("GET", "/nodes/status"));
    if (nodes === null) throw await this.stranger();
    return nodes;
  }

  /**
   * Why no request has somewhere to go, in the proxy's words; null when one has, and where nobody says.
   * @throws CommandError when the proxy cannot be reached
   */
  async whyNotReady(): Promise<string | null> {
    const { status, text } = await this.#send("GET", "/ready", undefined);
    return status === 503 ? messageOf(parseJson(text)) : null;
  }

  /**
   * What the proxy says of a change that it has made. Whoever answers 200 without a word of it has changed nothing.
   * @throws CommandError when the proxy cannot be reached or refuses, or is none
   */
  async change(method: "GET" | "POST", path: string, body?: object): Promise<string> {
    const answer = await this.#call(method, path, body && JSON.stringify(body));
    // With --as lmdeploy it is the bare text.
    const said = typeof answer === "string" ? answer : messageIn(answer);
    if (said === null) throw await this.stranger();
    return `${oneLine(said)}\n`;
  }

  /** @throws CommandError when the proxy cannot be reached or refuses */
  async post(path: string, body: object): Promise<unknown> {
    return await this.#call("POST", path, JSON.stringify(body));
  }

  /** @throws CommandError when the proxy cannot be reached or refuses */
  async get(path: string): Promise<unknown> {
    return await this.#call("GET", path);
  }

  /** What is no JSON. @throws CommandError when the proxy cannot be reached or refuses */
  async text(path: string): Promise<string> {
    const { status, text } = await this.#send("GET", path, undefined);
    if (status !== 200) throw this.#refused(status, parseJson(text));
    return text;
  }

  /** @throws CommandError when the proxy cannot be reached or refuses */
  async delete(path: string): Promise<unknown> {
    return await this.#call("DELETE", path);
  }

  /** What it has answered, as `schema` has it. @throws CommandError when it is something else */
  as<T extends TSchema>(schema: T, answer: unknown): Static<T> {
    if (Value.Check(schema, answer)) return answer;
    throw new CommandError(`${this.url} answers, but not as this lmproxy does; is it older?`);
  }

  async #call(method: string, path: string, body?: string): Promise<unknown> {
    const { status, text, isOurs } = await this.#send(method, path, body);
    const answer = parseJson(text);
    if (status === 200) return answer;
    if (status >= 300 && status < 500 && !isOurs) throw await this.stranger();
    throw this.#refused(status, answer);
  }

  #refused(status: number, answer: unknown): CommandError {
    const advice = status === 401 || status === 403 ? "; give its key with --admin-key" : "";
    const said = messageOf(answer);
    const reason = advice === "" ? said : said.replace(/\.$/, "");
    return new CommandError(`the proxy refused (${status}): ${reason}${advice}`);
  }

  async #send(method: string, path: string, body: string | undefined) {
    try {
      const response = await fetch(this.url + path, {
        ...UNPACKED.init,
        method,
        signal: AbortSignal.timeout(this.#timeoutMs),
        headers: {
          ...UNPACKED.headers,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(this.#key === null ? {} : { authorization: `Bearer ${this.#key}` }),
        },
        ...(body === undefined ? {} : { body }),
      });
      // Every error of a proxy's own says so (RFC 9209).
      const isOurs = /^lmproxy\b/.test(response.headers.get("proxy-status") ?? "");
      return {
        status: response.status,
        text: await boundedText(response.body, MOST_BYTES),
        isOurs,
      };
    } catch (error) {
      if (error instanceof TooLongError) {
        throw new CommandError(
          `${this.url} answers more than the ${MOST_BYTES / MIB} MiB that are read; check --proxy-url`,
        );
      }
      throw new CommandError(await unreachable(this.url, error));
    }
  }

  /** What to say when somebody answers that is no lmproxy: an engine, most likely. */
  async stranger(): Promise<CommandError> {
    const found = await look(`${this.url}/v1/models`, this.#key);
    return new CommandError(
      found?.status === 200 && /"object": *"list"/.test(found.text)
        ? `${this.url} is an engine, not the proxy; give the proxy's own address with --proxy-url`
        : `${this.url} answers, but not as lmproxy does; check --proxy-url`,
    );
  }
}

/** Why `error` came instead of an answer. A wrong scheme and a certificate that is not trusted look like an outage. */
export async function unreachable(url: string, error: unknown): Promise<string> {
  const reason = reasonOf(error);
  const advice = certificateAdvice(reason, "give --proxy-url the name that it is for");
  if (advice !== null) {
    return `the certificate of ${url} is not trusted (${reason}); ${advice}`;
  }
  const other = url.startsWith("https:")
    ? url.replace("https:", "http:")
    : url.replace("http:", "https:");
  if (/ECONNRESET|EPROTO|ERR_SSL/.test(reason) && (await look(`${other}/health`, null))) {
    return `the proxy speaks another scheme; give --proxy-url ${other}`;
  }
  return `cannot reach the proxy at ${url} (${reason}); choose another with --proxy-url`;
}

/** The answer to a question that has no consequence; null without one. No key goes to whoever has no trusted certificate. */
async function look(url: string, key: string | null) {
  try {
    const response = await fetch(url, {
      ...UNPACKED.init,
      signal: AbortSignal.timeout(WHO_TIMEOUT_MS),
      headers: {
        ...UNPACKED.headers,
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      },
      ...(key === null ? { tls: { rejectUnauthorized: false } } : {}),
    });
    return { status: response.status, text: await boundedText(response.body, MOST_BYTES_OF_WHO) };
  } catch {
    return null;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  return "code" in error && typeof error.code === "string" ? error.code : oneLine(error.message);
}

/** The value, or null for what is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The message of `{"message"}` or of OpenAI's `{"error": {"message"}}`. */
export function messageOf(answer: unknown): string {
  if (typeof answer !== "object" || answer === null) return NO_REASON;
  const message = messageIn(answer) ?? ("error" in answer ? messageIn(answer.error) : null);
  return message === null ? NO_REASON : oneLine(message);
}

function messageIn(answer: unknown): string | null {
  const hasOne = typeof answer === "object" && answer !== null && "message" in answer;
  return hasOne && typeof answer.message === "string" ? answer.message : null;
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
}
