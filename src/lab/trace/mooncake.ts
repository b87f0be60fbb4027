import { BlockSize } from "./block-size.ts";
import { hashIds, timeMs, tokens } from "./fields.ts";
import { Prefixes } from "./prefixes.ts";
import { objectIn, type Reader } from "./reader.ts";
import type { TraceRequest } from "./trace.ts";

/**
 * Mooncake's traces (Kimi; Qin et al., FAST '25), one request a line: `timestamp` in ms,
 * `input_length` and `output_length` in tokens, `hash_ids` of blocks of 512 tokens.
 */
export function mooncake(): Reader {
  const prefixes = new Prefixes();
  const blockSize = new BlockSize();
  const requests: TraceRequest[] = [];
  return {
    line: (text, number) => {
      const line = objectIn(text, number);
      const inputTokens = tokens(line, "input_length");
      const ids = hashIds(line);
      blockSize.fit(inputTokens, ids.length);
      requests.push({
        atMs: timeMs(line, "timestamp", 1),
        inputTokens,
        outputTokens: tokens(line, "output_length"),
        prefix: prefixes.of(ids),
        session: -1,
        after: -1,
        pauseMs: 0,
      });
    },
    end: () => ({ blockTokens: blockSize.or(512), prefixes, requests }),
  };
}
