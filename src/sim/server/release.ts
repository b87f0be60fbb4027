/**
 * What LMDeploy's releases do differently, as far as a client or a proxy sees it. Read in the tagged
 * sources and seen with 0.18.0; `next` is what its open pull requests propose (#4977, #4969).
 */
export const RELEASES = ["0.11", "0.14", "0.17", "0.18", "next"] as const;

export type Release = (typeof RELEASES)[number];

/**
 * How a prefill's answer names its session: `session` is the decimal number in `id` on both
 * endpoints (to 0.11), `chat-only` the number for chat and -1, or the client's own number, for
 * completions (0.12 to 0.14), `chatcmpl` a random id for chat as well (from 0.15), and
 * `cache-session-id` a field of that name beside it (#4977).
 */
const PREFILL_ID_STYLES = ["session", "chat-only", "chatcmpl", "cache-session-id"] as const;

export type PrefillIdStyle = (typeof PREFILL_ID_STYLES)[number];

export interface ReleaseTraits {
  readonly prefillIds: PrefillIdStyle;
  /** FastAPI's 422 for a body that does not fit, and `{"error": "Unauthorized"}`: to 0.14. */
  readonly hasOldErrors: boolean;
  /** An engine that fails ends in a good answer with the reason `error`: to 0.15. */
  readonly failsInText: boolean;
  /** `messages` may be a plain string: to 0.17. */
  readonly takesPlainMessages: boolean;
  /** KV-cache usage counts blocks that only the prefix cache holds: to 0.17. */
  readonly countsCachedBlocks: boolean;
  /** What goes wrong in a handshake is a 500, never the status FAIL: from 0.17. */
  readonly failsHandshakes: boolean;
  /** DistServe's fields need the proxy's header: #4969. */
  readonly needsProxyHeader: boolean;
}

const NEWEST: ReleaseTraits = {
  prefillIds: "chatcmpl",
  hasOldErrors: false,
  failsInText: false,
  takesPlainMessages: false,
  countsCachedBlocks: false,
  failsHandshakes: true,
  needsProxyHeader: false,
};

const WITH_CACHE_USAGE = { ...NEWEST, takesPlainMessages: true, countsCachedBlocks: true };

const OLD = {
  ...WITH_CACHE_USAGE,
  prefillIds: "chat-only",
  hasOldErrors: true,
  failsInText: true,
  failsHandshakes: false,
} as const;

export const RELEASE_TRAITS: Readonly<Record<Release, ReleaseTraits>> = {
  "0.11": { ...OLD, prefillIds: "session" },
  "0.14": OLD,
  "0.17": WITH_CACHE_USAGE,
  "0.18": NEWEST,
  next: { ...NEWEST, prefillIds: "cache-session-id", needsProxyHeader: true },
};
