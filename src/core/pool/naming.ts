/** Who says which nodes there are. */
import type { Registration } from "./node.ts";

/** A node as a source names it. */
export interface NamedNode extends Registration {
  /** Normalised. */
  readonly url: string;
  /** False: it is to finish what it has and gets nothing new. */
  readonly enabled: boolean;
  /** The slot that it has to have, where another process allots them. */
  readonly slot?: number;
}

/** Whoever says which nodes there are. */
export interface SourceId {
  readonly name: string;
  /** Of several that name one node, the one of the highest rank says what it is; finite. */
  readonly rank: number;
}

interface Said {
  readonly rank: number;
  readonly nodes: ReadonlyMap<string, NamedNode>;
}

/** What each source said last. */
export class Naming {
  /** Where engines and operators speak for themselves, a node at a time: nobody knows better. */
  readonly registered = new Map<string, NamedNode>();
  readonly #sources = new Map<string, Said>([
    ["registered", { rank: Number.POSITIVE_INFINITY, nodes: this.registered }],
  ]);

  /** A source says its whole set; returns what it said before. */
  says({ name, rank }: SourceId, nodes: ReadonlyMap<string, NamedNode>) {
    const before = this.#sources.get(name)?.nodes ?? new Map<string, NamedNode>();
    this.#sources.set(name, { rank, nodes });
    return before;
  }

  /** What the source of the highest rank says of `url`, or null when none names it. */
  of(url: string): NamedNode | null {
    let best: { rank: number; node: NamedNode } | null = null;
    for (const { rank, nodes } of this.#sources.values()) {
      const node = nodes.get(url);
      if (node !== undefined && rank > (best?.rank ?? Number.NEGATIVE_INFINITY)) {
        best = { rank, node };
      }
    }
    return best?.node ?? null;
  }

  /** What the source of the highest rank that calls it anything calls it; null when none does. */
  nameOf(url: string): string | null {
    const said = [...this.#sources.values()].sort((a, b) => b.rank - a.rank);
    const given = said.map(({ nodes }) => nodes.get(url)?.name ?? null);
    return given.find((one) => one !== null) ?? null;
  }
}
