import { BlockSize } from "./block-size.ts";
import { hashIds, nameIn, timeMs, tokens } from "./fields.ts";
import { Prefixes } from "./prefixes.ts";
import { objectIn, type Reader } from "./reader.ts";
import { inOrder, type Recorded, type TraceRequest } from "./trace.ts";

/**
 * Qwen-Bailian's traces (Alibaba, USENIX ATC '25), one request a line: `chat_id` and
 * `parent_chat_id` (-1 for none) make conversations, `timestamp` is in s, `hash_ids` are of blocks of
 * 16 tokens. A parent came before its child, wherever they stand in the file.
 */
export class Bailian implements Reader {
  readonly #prefixes = new Prefixes();
  readonly #blockSize = new BlockSize();
  readonly #requests: TraceRequest[] = [];
  /** Of each request. */
  readonly #chats: { readonly id: string; readonly parent: string }[] = [];

  line(text: string, number: number): void {
    const line = objectIn(text, number);
    const place = this.#requests.length;
    this.#chats.push({
      id: nameIn(line, "chat_id"),
      parent: String(line.value["parent_chat_id"] ?? -1),
    });
    const inputTokens = tokens(line, "input_length");
    const ids = hashIds(line);
    this.#blockSize.fit(inputTokens, ids.length);
    this.#requests.push({
      atMs: timeMs(line, "timestamp", 1_000),
      inputTokens,
      outputTokens: tokens(line, "output_length"),
      prefix: this.#prefixes.of(ids),
      // Where it stands in the file, until all are in order.
      session: place,
      after: -1,
      pauseMs: 0,
    });
  }

  end(): Recorded {
    const places = new Map<string, number>();
    const requests: TraceRequest[] = [];
    for (const request of inOrder(this.#requests, 0)) {
      const chat = this.#chats[request.session];
      if (chat === undefined) throw new Error(`no chat ${request.session}`);
      const after = places.get(chat.parent) ?? -1;
      const before = requests[after];
      places.set(chat.id, requests.length);
      requests.push({
        ...request,
        session: before?.session ?? requests.length,
        after,
        pauseMs: before === undefined ? 0 : Math.max(0, request.atMs - before.atMs),
      });
    }
    return { blockTokens: this.#blockSize.or(16), prefixes: this.#prefixes, requests };
  }
}
