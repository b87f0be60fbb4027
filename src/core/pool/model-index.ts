import { ROLES, type Role } from "../engine/roles.ts";
import type { Node } from "./node.ts";

const NONE: readonly Node[] = [];

/** Which nodes serve which model in which role, whatever their state; made when it is first asked for. */
export class ModelIndex {
  readonly #nodes: ReadonlyMap<string, Node>;
  #index: Readonly<Record<Role, Map<string | null, Node[]>>> | null = null;

  /** @param nodes The nodes to be found, by URL; `changed` tells when they or their models are others. */
  constructor(nodes: ReadonlyMap<string, Node>) {
    this.#nodes = nodes;
  }

  changed(): void {
    this.#index = null;
  }

  /** The nodes of a role that serve a model (any, for null). */
  serving(model: string | null, role: Role): readonly Node[] {
    this.#index ??= this.#make();
    return this.#index[role].get(model) ?? NONE;
  }

  /** Whether any node serves `model`. */
  serves(model: string): boolean {
    return ROLES.some((role) => this.serving(model, role).length > 0);
  }

  /** Every model that a node serves, each once. */
  models(): string[] {
    return [...new Set([...this.#nodes.values()].flatMap((node) => node.models))];
  }

  #make(): Readonly<Record<Role, Map<string | null, Node[]>>> {
    const index = { Hybrid: new Map(), Prefill: new Map(), Decode: new Map() };
    for (const node of this.#nodes.values()) {
      const byModel: Map<string | null, Node[]> = index[node.role];
      for (const model of [null, ...node.models]) {
        const list = byModel.get(model);
        if (list === undefined) byModel.set(model, [node]);
        else list.push(node);
      }
    }
    return index;
  }
}

/** One string for a model in a role; "any model" is none of the models. */
export function modelKey(model: string | null, role: Role): string {
  return model === null ? role : `${role} ${model}`;
}
