import { ProxyError } from "../core/errors.ts";
import type { Membership } from "../core/pool/membership.ts";
import type { NamedNode, SourceId } from "../core/pool/naming.ts";
import type { NodePolicy } from "./node-policy.ts";

/** Somebody who knows which nodes there are: the flags, a file, a name server. */
export interface Source extends SourceId {
  /**
   * Begins to tell, at once or soon, and again whenever it changes: the whole set each time. A source
   * that knows nothing for a while tells nothing, and what it told last counts on.
   */
  start(tell: (nodes: readonly NamedNode[]) => void): void;
  stop(): void;
}

export interface SourcesOptions {
  readonly membership: Pick<Membership, "says" | "byName">;
  readonly nodePolicy: Pick<NodePolicy, "normalise">;
  /** Null, or why this proxy, as it is configured, cannot have the node; given a normal form. */
  readonly refusal: (node: Pick<NamedNode, "url" | "role">) => string | null;
  readonly warn: (message: string, details: Readonly<Record<string, string>>) => void;
}

/** The one door through which sources' words reach the pool: each node is judged before it is named. */
export class Sources {
  readonly #sources: readonly Source[];
  readonly #options: SourcesOptions;
  /** What each source was told last of nodes that were refused. */
  readonly #refused = new Map<string, ReadonlySet<string>>();

  constructor(sources: readonly Source[], options: SourcesOptions) {
    this.#sources = sources;
    this.#options = options;
  }

  start(): void {
    for (const source of this.#sources) source.start((nodes) => this.#tell(source, nodes));
  }

  stop(): void {
    for (const source of this.#sources) source.stop();
  }

  #tell(source: Source, nodes: readonly NamedNode[]): void {
    const before = this.#refused.get(source.name);
    const refused = new Set<string>();
    const accepted: NamedNode[] = [];
    for (const node of nodes) {
      const judged = this.#judge(node);
      if (typeof judged !== "string") {
        accepted.push(judged);
        continue;
      }
      const line = `${node.url}\n${judged}`;
      refused.add(line);
      if (before?.has(line) === true) continue;
      const details = { source: source.name, node: node.url, role: node.role, reason: judged };
      this.#options.warn("node left out", details);
    }
    this.#options.membership.says(source, accepted);
    for (const { url, name } of accepted) {
      const bearer = name ? this.#options.membership.byName(name) : undefined;
      if (bearer === undefined || bearer.url === url) continue;
      const line = `${url}\n${name}`;
      refused.add(line);
      if (before?.has(line) === true) continue;
      const details = { source: source.name, node: url, name: name ?? "", has: bearer.url };
      this.#options.warn("node goes without its name, which another has", details);
    }
    this.#refused.set(source.name, refused);
  }

  /** The node by its normal URL, or why it cannot be one. */
  #judge(node: NamedNode): NamedNode | string {
    const { nodePolicy, refusal } = this.#options;
    try {
      const url = nodePolicy.normalise(node.url, null);
      return refusal({ url, role: node.role }) ?? { ...node, url };
    } catch (error) {
      if (error instanceof ProxyError) return error.message;
      throw error;
    }
  }
}
