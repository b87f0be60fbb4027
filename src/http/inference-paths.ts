import { changesEngine } from "../core/engine/kinds.ts";

/** Where smg has its calls to all engines. */
const CONTROL = "/v1/rl/";

/**
 * Whether a path under `/v1/` may be forwarded. Engines, and servers before them, decode and resolve
 * what we pass as it came: judged is what they may make of it.
 */
export function isForwarded(path: string): boolean {
  const plain = plainSpelling(path);
  if (plain === null || !plain.startsWith("/v1/") || plain.startsWith(CONTROL)) return false;
  return !changesEngine(plain);
}

/** How often a path may have been encoded. Nobody decodes more often, and each time costs its length. */
const MOST_DECODINGS = 8;

/** Decoded as often as it can be, one slash for several, no dot segments; null when it cannot be decoded. */
function plainSpelling(path: string): string | null {
  const plain = fullyDecoded(path);
  if (plain === null) return null;
  const parts: string[] = [];
  for (const part of plain.split(/[\\/]+/)) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function fullyDecoded(path: string): string | null {
  let plain = path;
  for (let times = 0; times <= MOST_DECODINGS; times += 1) {
    const decoded = decode(plain);
    if (decoded === plain || decoded === null) return decoded;
    plain = decoded;
  }
  return null;
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
