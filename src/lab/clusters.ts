/** The clusters that can be asked for: how fast their nodes are, and what happens to them. */

/** Something that happens to a node in the middle of a run. */
export interface ClusterEvent {
  readonly atS: number;
  /** By its place in the cluster, from 0. A node that joins has the next place. */
  readonly node: number;
  readonly what: "joins" | "dies" | "returns" | "slows" | "recovers";
}

export interface ClusterShape {
  readonly name: string;
  /** One for each node that is there from the start: 1 is as fast as the engine's model says. */
  readonly speeds: readonly number[];
  readonly events: readonly ClusterEvent[];
}

/** How much slower a node becomes that slows. */
export const SLOWER = 10;

/** The unequal cluster; more nodes repeat it. */
const UNEQUAL = [1.5, 1.5, 1, 1, 1, 1, 0.5, 0.5] as const;

/** Null when there is none of that name. */
export function clusterOf(name: string, nodes: number): ClusterShape | null {
  const speedAt = { equal: () => 1, unequal: (i: number) => UNEQUAL[i % UNEQUAL.length] ?? 1 };
  if (name !== "equal" && name !== "unequal") return null;
  return { name, speeds: Array.from({ length: nodes }, (_, i) => speedAt[name](i)), events: [] };
}

const EVENT = /^(joins|dies|returns|slows|recovers)@(\d+(?:\.\d+)?)(?::(\d+))?$/;

/** `dies@600:2` is: node 2 dies after 600 s. Null when it is not understood. */
export function eventOf(text: string): ClusterEvent | null {
  const [, what, at, node = "0"] = EVENT.exec(text) ?? [];
  switch (what) {
    case "joins":
    case "dies":
    case "returns":
    case "slows":
    case "recovers":
      return { what, atS: Number(at), node: Number(node) };
    default:
      return null;
  }
}
