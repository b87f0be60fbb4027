import { changesEngine } from "../core/engine/kinds.ts";

/** The inference endpoints that engines are known to have; any other POST under `/v1/` is passed on too. */
export const INFERENCE_PATHS = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
  "/v1/messages",
  "/v1/messages/count_tokens",
  "/v1/embeddings",
  "/v1/encode",
  "/v1/rerank",
  "/v1/score",
  "/pooling",
  "/get_ppl",
  "/generate",
  "/rerank",
  "/score",
  "/tokenize",
  "/detokenize",
] as const;

export type InferencePath = (typeof INFERENCE_PATHS)[number];

/**
 * Whether a path under `/v1/` may be forwarded. Engines, and servers before them, decode and resolve
 * what we pass as it came: judged is what they may make of it.
 */
export function isForwarded(path: string): boolean {
  const plain = plainSpelling(path);
  return plain?.startsWith("/v1/") === true && !changesEngine(plain);
}

/** Decoded as often as it can be, one slash for several, no dot segments; null when it cannot be decoded. */
function plainSpelling(path: string): string | null {
  let plain = path;
  for (let decoded = decode(plain); decoded !== plain; decoded = decode(plain)) {
    if (decoded === null) return null;
    plain = decoded;
  }
  const parts: string[] = [];
  for (const part of plain.split(/[\\/]+/)) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
