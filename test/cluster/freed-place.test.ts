/** Queues of several processes over one table, in virtual time: how soon a place that one frees is another's. */
import { describe, expect, test } from "bun:test";
import { Bells, bellBytes } from "../../src/cluster/bells.ts";
import { SharedPlaces, sharedElsewhere } from "../../src/cluster/shared-load.ts";
import { Table, tableBytes } from "../../src/cluster/table.ts";
import { Lease } from "../../src/core/pool/lease.ts";
import { Signal } from "../../src/core/signal.ts";
import { NOTHING_ASKED } from "../../src/core/strategies/strategy.ts";
import { MODEL } from "../../src/lab/cluster.ts";
import { Asker, Gate, heard } from "../core/admission/gate.ts";

const SIZE = { rows: 5, clients: 64 };
const MOST_MS = 20;

interface Limits {
  readonly maxConcurrency?: number;
  readonly maxPerClient?: number;
  readonly maxInFlightPerNode?: number;
  readonly queueSize?: number;
}

/**
 * @param bells Whether others tell: they cannot, or nobody hears them, where they may send no signals; one that does not is
 * `deaf`.
 */
function workersWith(
  { maxConcurrency, maxPerClient, maxInFlightPerNode, queueSize = 1_000 }: Limits,
  {
    bells: which = "heard",
    nodes = 1,
    deaf = null,
  }: { bells?: "heard" | "unheard" | "none"; nodes?: number; deaf?: number | null } = {},
) {
  const table = new Table(new Uint8Array(tableBytes(SIZE)), SIZE);
  table.rowsInUse = SIZE.rows;
  const limits = {
    maxConcurrency: maxConcurrency ?? Number.POSITIVE_INFINITY,
    maxPerClient: maxPerClient ?? Number.POSITIVE_INFINITY,
  };
  const rung: number[] = [];
  const all: SharedPlaces[] = [];
  const bells = new Bells(new Uint8Array(bellBytes(SIZE.rows)), SIZE.rows, (pid) => {
    rung.push(pid);
    if (which === "heard" && pid !== deaf) queueMicrotask(() => all[pid]?.rung());
  });
  const workerOf = (number: number): Gate => {
    const row = table.ofRow(number);
    const places = new SharedPlaces({
      table,
      row,
      limits,
      isLimited: maxConcurrency !== undefined || maxInFlightPerNode !== undefined,
      wallMs: () => gate.cluster.time.nowMs,
      hash: (client) => BigInt(client.charCodeAt(0)),
      queueOf: () => 0,
      queues: () => 1,
      bells: which === "none" ? null : bells,
    });
    bells.hangs(number, number);
    all[number] = places;
    const cluster = {
      nodes,
      elsewhere: sharedElsewhere(row),
      ...(maxInFlightPerNode === undefined ? {} : { maxInFlightPerNode }),
    };
    const gate = new Gate({ ...limits, queueSize, places }, cluster);
    return gate;
  };
  const [one, two, three, four] = [workerOf(1), workerOf(2), workerOf(3), workerOf(4)] as const;
  /** A later moment, also by the clocks of those who wait. */
  const pass = async (ms: number) => {
    for (const gate of [one, two, three, four]) await gate.pass(ms);
  };
  return { one, two, three, four, rung, pass };
}

/** Lets signals come, and whoever they have go on; no time goes by. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 8; turn += 1) await heard();
}

describe.each([
  ["of the proxy", { maxConcurrency: 1 }],
  ["of a node", { maxInFlightPerNode: 1 }],
  ["of a client", { maxPerClient: 1 }],
])("a place %s", (_what, limits) => {
  test("that one worker frees is had by whoever waits in another before any time goes by", async () => {
    const { one, two } = workersWith(limits);
    const first = one.ask();
    const second = two.ask();
    await settled();
    expect([first.state, second.state]).toEqual(["in", "waits"]);
    first.finish();
    await settled();
    expect(second.state).toBe("in");
  });

  test("that nobody tells of is found within 20 ms by whoever waits in another", async () => {
    // Whenever it is freed, between two looks of the other.
    for (const bells of ["unheard", "none"] as const) {
      for (let afterMs = 0; afterMs < MOST_MS; afterMs += 1) {
        const { one, two, pass } = workersWith(limits, { bells });
        const first = one.ask();
        const second = two.ask();
        await pass(afterMs);
        expect([first.state, second.state]).toEqual(["in", "waits"]);
        first.finish();
        await settled();
        expect(second.state).toBe("waits");
        await pass(MOST_MS);
        expect(second.state).toBe("in");
      }
    }
  });
});

test("places that are freed at once go to those who have waited longest, from worker to worker, before any time goes by", async () => {
  const { one, two, three, four, pass } = workersWith({ maxConcurrency: 4 });
  const running = [one.ask(), one.ask(), one.ask(), one.ask()];
  const waiting: Asker[] = [];
  for (const worker of [two, three, four, one, two, three, four, one]) {
    await pass(1);
    waiting.push(worker.ask());
  }
  await settled();
  for (const asker of running) asker.finish();
  await settled();
  expect(waiting.map(({ state }) => state)).toEqual([
    ...Array.from({ length: 4 }, () => "in"),
    ...Array.from({ length: 4 }, () => "waits"),
  ]);
});

describe.each([
  ["of nodes alone", { maxInFlightPerNode: 1 }],
  ["of the proxy, too", { maxInFlightPerNode: 1, maxConcurrency: 2 }],
])("with a limit %s", (_what, limits) => {
  test("who waits for one full node holds up nobody in another worker who can have a different one, and has its own when that is free", async () => {
    const { one, two, three, pass } = workersWith(limits, { nodes: 2 });
    const running = [one.ask(), one.ask()];
    const [first] = two.cluster.registry.nodes();
    if (first === undefined) throw new Error("there are two");
    const picky = two.ask({ only: first });
    await pass(MOST_MS);
    const other = three.ask();
    await settled();
    expect([picky.state, other.state]).toEqual(["waits", "waits"]);
    const isFirsts = ({ place }: Asker) => place?.lease.node.slot === first.slot;
    running.find((asker) => !isFirsts(asker))?.finish();
    await settled();
    expect([picky.state, other.state]).toEqual(["waits", "in"]);
    running.find(isFirsts)?.finish();
    await settled();
    expect(picky.state).toBe("in");
  });
});

test("who came first has the next place of the proxy, also who can go to one node alone", async () => {
  const { one, two, three, pass } = workersWith({ maxConcurrency: 1 }, { nodes: 2 });
  const running = one.ask();
  const [first] = two.cluster.registry.nodes();
  if (first === undefined) throw new Error("there are two");
  const picky = two.ask({ only: first });
  await pass(1);
  const others = [one.ask(), three.ask()];
  running.finish();
  await settled();
  expect([picky, ...others].map(({ state }) => state)).toEqual(["in", "waits", "waits"]);
});

test("who is in front of others and leaves lets them have the place that it could not take", async () => {
  const { one, two, three, pass } = workersWith({ maxConcurrency: 1 }, { deaf: 2 });
  const running = one.ask();
  const leaver = two.ask();
  await pass(1);
  const other = three.ask();
  await settled();
  running.finish();
  await settled();
  expect([leaver.state, other.state]).toEqual(["waits", "waits"]);
  leaver.leave();
  await settled();
  expect([leaver.state, other.state]).toEqual(["gone", "in"]);
});

test("a node that one worker frees is had before any time goes by by whoever has tried another, and waits elsewhere", async () => {
  const { one, two } = workersWith({ maxInFlightPerNode: 1 }, { nodes: 2 });
  const running = [one.ask(), one.ask()];
  const [first] = two.cluster.registry.nodes();
  if (first === undefined) throw new Error("there are two");
  const wanted = {
    model: MODEL,
    role: "Hybrid",
    asked: NOTHING_ASKED,
    tried: new Set([first]),
    only: null,
  } as const;
  let got: Lease | null = null;
  const take = () => two.cluster.registry.acquire(wanted);
  void two.admission.proceed(wanted, "c", new Signal(), take).then(({ lease }) => {
    got = lease;
  });
  await settled();
  expect(got).toBeNull();
  running.find(({ place }) => place?.lease.node.slot !== first.slot)?.finish();
  await settled();
  expect(got).toBeInstanceOf(Lease);
});

test("a place that is freed before others know that somebody waits for it is not overlooked", async () => {
  const { one, two } = workersWith({ maxInFlightPerNode: 1 });
  const first = one.ask();
  const wanted = {
    model: MODEL,
    role: "Hybrid",
    asked: NOTHING_ASKED,
    tried: new Set<never>(),
    only: null,
  } as const;
  const signal = new Signal();
  const late = new Asker(
    () =>
      two.admission.admitWith(wanted, "c", signal, () => {
        const got = two.cluster.registry.acquire(wanted);
        if (!(got instanceof Lease)) first.finish();
        return got;
      }),
    signal,
  );
  await settled();
  expect(late.state).toBe("in");
});

test("who waits in a worker that is stopped holds up others no longer than a moment, and has its turn when it goes on", async () => {
  const { one, two, three } = workersWith({ maxConcurrency: 1 }, { bells: "unheard" });
  const first = one.ask();
  const stopped = two.ask();
  await one.pass(1);
  await three.pass(1);
  const other = three.ask();
  first.finish();
  // Time goes by for the others alone.
  await three.pass(MOST_MS);
  expect(other.state).toBe("waits");
  await three.pass(2_000);
  expect([stopped.state, other.state]).toEqual(["waits", "in"]);
  other.finish();
  await two.pass(MOST_MS);
  expect(stopped.state).toBe("in");
});

test("a place is had before any time goes by by whoever is next behind one that waits in a worker that is stopped", async () => {
  const { one, two, three } = workersWith({ maxConcurrency: 1 }, { deaf: 2 });
  const first = one.ask();
  const stopped = two.ask();
  await one.pass(1);
  await three.pass(1);
  const other = three.ask();
  // Time goes by for the others alone.
  await one.pass(2_000);
  await three.pass(2_000);
  expect([stopped.state, other.state]).toEqual(["waits", "waits"]);
  first.finish();
  await settled();
  expect([stopped.state, other.state]).toEqual(["waits", "in"]);
});

test("no more wait in all workers together than --queue-size says", async () => {
  const { one, two, three, four } = workersWith({ maxConcurrency: 1, queueSize: 2 });
  const [, leaver, , refused] = [one.ask(), two.ask(), three.ask(), four.ask()];
  await settled();
  expect([leaver.state, refused.state]).toEqual(["waits", "503 service_unavailable"]);
  leaver.leave();
  const next = four.ask();
  await settled();
  expect(next.state).toBe("waits");
});

test("nobody is rung who waits for nothing, or whose turn it is not", async () => {
  const { one, two, three, rung, pass } = workersWith({ maxConcurrency: 1 });
  for (let turn = 0; turn < 3; turn += 1) {
    const asker = one.ask();
    asker.finish();
    await settled();
  }
  expect(rung).toEqual([]);
  const first = one.ask();
  const second = two.ask();
  await pass(1);
  const third = three.ask();
  await settled();
  first.finish();
  await settled();
  expect([second.state, third.state, rung]).toEqual(["in", "waits", [2]]);
  second.finish();
  await settled();
  expect([third.state, rung]).toEqual(["in", [2, 3]]);
});
