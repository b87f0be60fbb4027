import { amount, hashIds, type Line, tokens } from "./fields.ts";
import { Prefixes, type Recorded } from "./trace.ts";

/**
 * Mooncake's traces (Kimi; Qin et al., FAST '25), one request a line: `timestamp` in ms,
 * `input_length` and `output_length` in tokens, `hash_ids` of blocks of 512 tokens.
 */
export function mooncake(lines: readonly Line[]): Recorded {
  const prefixes = new Prefixes();
  const requests = lines.map((line) => ({
    atMs: amount(line, "timestamp"),
    inputTokens: tokens(line, "input_length"),
    outputTokens: tokens(line, "output_length"),
    blocks: prefixes.of(hashIds(line)),
    session: -1,
    after: -1,
    pauseMs: 0,
  }));
  return { blockTokens: 512, requests };
}
