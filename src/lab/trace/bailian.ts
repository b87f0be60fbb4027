import { amount, hashIds, type Line, nameIn, tokens } from "./fields.ts";
import { Prefixes, type Recorded, type TraceRequest } from "./trace.ts";

/**
 * Qwen-Bailian's traces (Alibaba, USENIX ATC '25), one request a line: `chat_id` and
 * `parent_chat_id` (-1 for none) make conversations, `timestamp` is in s, `hash_ids` are of blocks of
 * 16 tokens. A parent came before its child, wherever they stand in the file.
 */
export function bailian(lines: readonly Line[]): Recorded {
  const prefixes = new Prefixes();
  const places = new Map<string, number>();
  const requests: TraceRequest[] = [];
  const timed = lines.map((line) => ({ line, atMs: amount(line, "timestamp") * 1_000 }));
  for (const { line, atMs } of timed.sort((a, b) => a.atMs - b.atMs)) {
    const parent = places.get(String(line.value["parent_chat_id"])) ?? -1;
    const before = requests[parent];
    places.set(nameIn(line, "chat_id"), requests.length);
    requests.push({
      atMs,
      inputTokens: tokens(line, "input_length"),
      outputTokens: tokens(line, "output_length"),
      blocks: prefixes.of(hashIds(line)),
      session: before?.session ?? requests.length,
      after: parent,
      pauseMs: before === undefined ? 0 : Math.max(0, atMs - before.atMs),
    });
  }
  return { blockTokens: 16, requests };
}
