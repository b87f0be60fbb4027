/** Two processes' queues over one table, in virtual time: how soon a place that one frees is the other's. */
import { describe, expect, test } from "bun:test";
import { SharedPlaces, sharedElsewhere } from "../../src/cluster/shared-load.ts";
import { Table, tableBytes } from "../../src/cluster/table.ts";
import { Gate } from "../core/admission/gate.ts";

const SIZE = { rows: 3, clients: 64 };
const MOST_MS = 20;

interface Limits {
  readonly maxConcurrency?: number;
  readonly maxPerClient?: number;
  readonly maxInFlightPerNode?: number;
}

function twoWorkers({ maxConcurrency, maxPerClient, maxInFlightPerNode }: Limits) {
  const table = new Table(new Uint8Array(tableBytes(SIZE)), SIZE);
  table.rowsInUse = SIZE.rows;
  const limits = {
    maxConcurrency: maxConcurrency ?? Number.POSITIVE_INFINITY,
    maxPerClient: maxPerClient ?? Number.POSITIVE_INFINITY,
  };
  const workers = [1, 2].map((number): Gate => {
    const row = table.ofRow(number);
    const places = new SharedPlaces({
      table,
      row,
      limits,
      isLimited: maxConcurrency !== undefined || maxInFlightPerNode !== undefined,
      wallMs: () => gate.cluster.time.nowMs,
      hash: (client) => BigInt(client.charCodeAt(0)),
      queueOf: () => 0,
    });
    const cluster = {
      nodes: 1,
      elsewhere: sharedElsewhere(row),
      ...(maxInFlightPerNode === undefined ? {} : { maxInFlightPerNode }),
    };
    const gate = new Gate({ ...limits, places }, cluster);
    return gate;
  });
  const [one, other] = workers;
  if (one === undefined || other === undefined) throw new Error("there are two");
  return { one, other };
}

describe.each([
  ["of the proxy", { maxConcurrency: 1 }],
  ["of a node", { maxInFlightPerNode: 1 }],
  ["of a client", { maxPerClient: 1 }],
])("a place %s", (_what, limits) => {
  test("that one worker frees is found within 20 ms by whoever waits in another", async () => {
    // Whenever it is freed, between two looks of the other.
    for (let afterMs = 0; afterMs < MOST_MS; afterMs += 1) {
      const { one, other } = twoWorkers(limits);
      const first = one.ask();
      const second = other.ask();
      await one.pass(afterMs);
      await other.pass(afterMs);
      expect([first.state, second.state]).toEqual(["in", "waits"]);
      first.finish();
      await one.pass(MOST_MS);
      await other.pass(MOST_MS);
      expect(second.state).toBe("in");
    }
  });
});
