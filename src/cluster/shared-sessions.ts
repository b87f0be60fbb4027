/** The sessions of all processes of one proxy, as the core knows them. */
import { type KeptSessions, settles } from "../core/knowledge/sessions.ts";
import type { Filled } from "../core/pool/candidates.ts";
import type { Node } from "../core/pool/node.ts";
import type { RegistryListener } from "../core/pool/registry-listener.ts";
import type { Asked } from "../core/strategies/strategy.ts";
import type { SessionTable } from "./session-table.ts";

export class SharedSessions implements KeptSessions {
  readonly #table: SessionTable;

  constructor(table: SessionTable) {
    this.#table = table;
  }

  get size(): number {
    return this.#table.size;
  }

  on(node: Node): number {
    return this.#table.on(node.slot);
  }

  finish(id: number): void {
    this.#table.finish(id);
  }

  fill(candidates: readonly Filled[], { session }: Asked): void {
    const role = candidates[0]?.node.role;
    const home = session === null || role === undefined ? null : this.#table.find(session, role);
    for (const candidate of candidates) {
      const { slot } = candidate.node;
      candidate.home = slot === home ? 1 : 0;
      candidate.sessions = this.#table.on(slot);
    }
  }

  readonly listener: RegistryListener = {
    leaseStarted: (lease) => {
      const { asked, node } = lease;
      if (asked.session !== null && settles(lease))
        this.#table.put(asked.session, node.role, node.slot);
    },
    leaseEnded: ({ asked: { session } }) => {
      if (session !== null) this.#table.used(session.id);
    },
  };
}
