import type { Node } from "../core/pool/node.ts";

/** The two endpoints that DistServe serves; releases differ in what their answers tell on each. */
export type Endpoint = "chat" | "completions";

/** Releases of LMDeploy that keep a prefill's blocks and do not say under which number. */
const MUTE_RELEASES: Readonly<Record<Endpoint, string>> = {
  chat: "LMDeploy 0.15.0 to 0.18.0 on /v1/chat/completions; use 0.14.0 or older",
  completions: "LMDeploy 0.12.0 to 0.18.0 on /v1/completions; use 0.11.1 or older",
};

/** @param target Path and query of a request that DistServe serves. */
export function endpointOf(target: string): Endpoint {
  return target.startsWith("/v1/chat/") ? "chat" : "completions";
}

/** Which releases do not name their sessions, and what to use instead, for an error's text. */
export function muteReleases(endpoint: Endpoint): string {
  return `${MUTE_RELEASES[endpoint]}, or a release that answers with \`cache_session_id\``;
}

interface Known {
  readonly generation: number;
  readonly named: Partial<Record<Endpoint, boolean>>;
}

/**
 * Whether engines name the sessions of their prefills, as far as answers have told. Who does not
 * keeps blocks with every prefill that nobody can free: one such answer of a process is enough.
 */
export class SessionNames {
  readonly #known = new WeakMap<Node, Known>();

  /**
   * A prefill was answered with blocks, and named their session or did not.
   * @param generation That of the engine it was sent to.
   */
  learn(node: Node, generation: number, endpoint: Endpoint, isNamed: boolean): void {
    if (generation !== node.generation) return;
    const known = this.#known.get(node);
    const named = known?.generation === generation ? known.named : {};
    if (named[endpoint] === isNamed) return;
    this.#known.set(node, { generation, named: { ...named, [endpoint]: isNamed } });
  }

  /** Whether the engine process there names its sessions; null as long as it has not shown. */
  of(node: Node, endpoint: Endpoint): boolean | null {
    const known = this.#known.get(node);
    return known?.generation === node.generation ? (known.named[endpoint] ?? null) : null;
  }
}
