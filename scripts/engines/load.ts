/** A steady load of short requests, half of them streamed, and what became of each. */
import type { ProxyProcess } from "../../test/support/proxy.ts";
import { rawPost } from "../../test/support/raw-client.ts";

/** A client that has not had a word by then goes away. */
const PATIENCE_MS = 10_000;
/** And one whose answer has stood still for so long, after all else is over. */
const STALL_MS = 30_000;
const POLL_MS = 20;

export interface Fate {
  readonly startMs: number;
  readonly stream: boolean;
  /** When the first byte of the answer had come; null: never. */
  firstMs: number | null;
  endMs: number | null;
  /**
   * whole: every token came. refused: another status, or an error event before any word. cut: ended
   * early and said so. deceptive: ended early and looks whole. left: the client had waited long enough.
   */
  end: "whole" | "refused" | "cut" | "deceptive" | "left" | null;
  said: string;
}

export class Load {
  readonly fates: Fate[] = [];
  readonly #port: number;
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Set<Promise<void>>();

  constructor(proxy: ProxyProcess, everyMs: number) {
    this.#port = proxy.port;
    let count = 0;
    this.#timer = setInterval(() => {
      count += 1;
      const one = this.#ask(count % 2 === 0);
      this.#running.add(one);
      void one.finally(() => this.#running.delete(one));
    }, everyMs);
  }

  /** Sends no more, and waits for the answers under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  async #ask(stream: boolean): Promise<void> {
    const tokens = stream ? 60 : 30;
    const fate: Fate = {
      ...{ startMs: performance.now(), stream, firstMs: null, endMs: null, end: null, said: "" },
    };
    this.fates.push(fate);
    const exchange = rawPost(this.#port, "/v1/chat/completions", {
      ...{ model: "tiny", max_tokens: tokens, temperature: 0, ignore_eos: true, stream },
      ...(stream ? { stream_options: { include_usage: true } } : {}),
      messages: [{ role: "user", content: "Count" }],
    });
    let isOver = false;
    void exchange.ended.then(() => {
      isOver = true;
    });
    let lastMs = fate.startMs;
    for (let seen = 0; !isOver; await Bun.sleep(POLL_MS)) {
      const nowMs = performance.now();
      if (exchange.receivedBytes > seen) {
        fate.firstMs ??= nowMs;
        lastMs = nowMs;
        seen = exchange.receivedBytes;
      }
      if (nowMs - lastMs > (seen === 0 ? PATIENCE_MS : STALL_MS)) {
        exchange.leave();
        fate.end = "left";
        break;
      }
    }
    fate.endMs = performance.now();
    if (fate.end !== null) return;
    if (exchange.receivedBytes > 0) fate.firstMs ??= fate.endMs;
    const { status, body, complete } = exchange.answer();
    const text = body.toString();
    fate.end = judge(status, text, complete, stream, tokens);
    if (fate.end !== "whole") fate.said = `${status} ${text.slice(-160)}`;
  }
}

function judge(
  status: number,
  text: string,
  isComplete: boolean,
  stream: boolean,
  tokens: number,
): NonNullable<Fate["end"]> {
  const isCounted = new RegExp(`"completion_tokens":\\s?${tokens}\\b`).test(text);
  const hasError = /"error"|"object":\s?"error"/.test(text);
  if (isComplete && status === 200 && isCounted && !hasError) return "whole";
  if (status === 0) return "cut";
  if (status !== 200) return "refused";
  const hasWords = /"content":\s?"[^"]/.test(text);
  if (hasError) return hasWords ? "cut" : "refused";
  // An engine that gives a request up itself says so in the answer.
  if (!isComplete || /"finish_reason":\s?"abort"/.test(text)) return "cut";
  return stream && !text.includes("[DONE]") ? "cut" : "deceptive";
}
