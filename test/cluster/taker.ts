/** Takes and gives back the one place of node 0 again and again; says how often, and how many it ever saw hold it. */
import { Table } from "../../src/cluster/table.ts";

const [path = "", size = "", number = ""] = process.argv.slice(2);
const table = new Table(Bun.mmap(path, { shared: true }), JSON.parse(size));
const row = table.ofRow(Number(number));
const TIMES = 300_000;

let taken = 0;
let most = 0;
// The other one may have it all the while, if it has to wait for a processor just then.
for (let at = 0; at < TIMES || taken === 0; at += 1) {
  if (!row.beginOn(0, 1)) continue;
  taken += 1;
  // Who holds it writes this down as its own, in a place that has no limit.
  row.beginOn(1, Number.POSITIVE_INFINITY);
  most = Math.max(most, table.inFlight(1));
  row.endOn(1);
  row.endOn(0);
}
console.log(JSON.stringify({ taken, most }));
