/** What the control plane looks at from time to time. */
import { expect, test } from "bun:test";
import { Table, tableBytes } from "../../src/cluster/table.ts";
import { Cluster } from "../../src/lab/cluster.ts";
import { controlTicks } from "../../src/proxy/control-ticks.ts";

test("sessions of a node that was there from the start are not the next one's in its slot", () => {
  const cluster = new Cluster();
  const { registry } = cluster;
  const first = cluster.join("n0");
  const size = { rows: 2, clients: 0 };
  const swept: (number | null)[] = [];
  const stop = controlTicks({
    registry,
    table: new Table(new Uint8Array(tableBytes(size)), size),
    sessions: { sweep: (slot = null) => swept.push(slot) },
    telling: { isAllHeard: true },
    teller: { tellModels: () => {} },
  });
  registry.membership.remove(first.url);
  registry.membership.sweep();
  expect(cluster.join("n1").slot).toBe(first.slot);
  expect(swept).toEqual([first.slot]);
  stop();
});
