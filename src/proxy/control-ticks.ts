/** What the control plane looks at from time to time, since nobody tells it. */

import { CONTROL_ROW } from "../cluster/rows.ts";
import type { SessionTable } from "../cluster/session-table.ts";
import type { Table } from "../cluster/table.ts";
import type { Teller } from "../cluster/tell.ts";
import type { Telling } from "../cluster/telling.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { CLOCK } from "./assemble.ts";
import { TICK_MS } from "./begin-worker.ts";

/** How often clients that ask nothing any more are forgotten, and sessions that are over, ms. */
const FORGET_MS = 5_000;

export interface ControlTicksOptions {
  readonly registry: Registry;
  readonly table: Pick<Table, "pieces" | "forgetClients">;
  /** Null where none are kept. */
  readonly sessions: Pick<SessionTable, "sweep"> | null;
  readonly telling: Pick<Telling, "isAllHeard">;
  readonly teller: Pick<Teller, "tellModels">;
}

/** Looks from now on; the function returned ends that. */
export function controlTicks(options: ControlTicksOptions): () => void {
  const { registry, table, sessions, telling, teller } = options;
  const before = new WeakMap<Node, number>();
  const bySlot = new Map<number, string>();
  const added = (node: Node) => {
    const { url, slot } = node;
    before.set(node, table.pieces(slot));
    // Sessions of whoever had the slot before are not this node's, of which workers have yet to hear.
    if ((bySlot.get(slot) ?? url) !== url) sessions?.sweep(slot);
    bySlot.set(slot, url);
  };
  registry.subscribe({ nodeAdded: added });
  for (const node of registry.nodes()) added(node);
  const stopLooking = CLOCK.every(TICK_MS, () => {
    for (const node of registry.nodesInUse()) {
      node.progress = (table.pieces(node.slot) - (before.get(node) ?? 0)) >>> 0;
      if (node.inFlight > 0) node.conduct.askedAtMs = CLOCK.now();
    }
    // A node's slot is another's only when nobody can send the node anything any more.
    if (telling.isAllHeard) registry.membership.sweep();
    teller.tellModels();
  });
  const stopForgetting = CLOCK.every(FORGET_MS, () => {
    table.forgetClients(CONTROL_ROW);
    sessions?.sweep();
  });
  return () => {
    stopLooking();
    stopForgetting();
  };
}
