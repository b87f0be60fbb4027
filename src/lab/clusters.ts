/** The clusters that can be asked for: how fast their nodes are, and what happens to them. */
import type { Role } from "../core/engine/roles.ts";

/** Something that happens to a node in the middle of a run. */
export interface ClusterEvent {
  readonly atS: number;
  /** By its place in the cluster, from 0. A node that joins has the next place. */
  readonly node: number;
  readonly what: "joins" | "dies" | "returns" | "slows" | "recovers";
}

export interface ClusterShape {
  readonly name: string;
  /** What each of them does, in the same order; left out: all do the whole. One that joins is Hybrid. */
  readonly roles?: readonly Role[];
  /** One for each node that is there from the start: 1 is as fast as the engine's model says. */
  readonly speeds: readonly number[];
  readonly events: readonly ClusterEvent[];
}

/** How much slower a node becomes that slows. */
export const SLOWER = 10;

/** The unequal cluster; more nodes repeat it. */
const UNEQUAL = [1.5, 1.5, 1, 1, 1, 1, 0.5, 0.5] as const;
/** The same of each role, where there are two: few decode nodes are unlike as well. */
const UNEQUAL_OF_ROLE = [1.5, 0.5, 1] as const;
/** With prompts ten times as long as answers, so much of the nodes is better off with prompts. */
const PREFILL_SHARE = 3 / 4;

/** Null when there is none of that name. */
export function clusterOf(name: string, nodes: number): ClusterShape | null {
  const all = Array.from({ length: nodes }, (_, i) => i);
  const prefills = Math.min(Math.max(1, Math.round(PREFILL_SHARE * nodes)), nodes - 1);
  const roles = all.map((i) => (i < prefills ? "Prefill" : "Decode"));
  const ofRole = (i: number) => UNEQUAL_OF_ROLE[(i < prefills ? i : i - prefills) % 3] ?? 1;
  switch (name) {
    case "equal":
      return { name, speeds: all.map(() => 1), events: [] };
    case "unequal":
      return { name, speeds: all.map((i) => UNEQUAL[i % UNEQUAL.length] ?? 1), events: [] };
    case "distserve":
      return { name, speeds: all.map(() => 1), roles, events: [] };
    case "distserve-unequal":
      return { name, speeds: all.map(ofRole), roles, events: [] };
    default:
      return null;
  }
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
