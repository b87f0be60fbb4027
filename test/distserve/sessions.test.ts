import { beforeEach, describe, expect, test } from "bun:test";
import { Lease, type Outcome } from "../../src/core/pool/lease.ts";
import { Node } from "../../src/core/pool/node.ts";
import { NOTHING_ASKED } from "../../src/core/strategies/strategy.ts";
import type { FreeResult } from "../../src/distserve/free-lane.ts";
import { SessionLedger } from "../../src/distserve/sessions.ts";
import { VirtualTime } from "../../src/lab/virtual-time.ts";

const registration = { models: [], role: "Prefill", speed: null } as const;

let time: VirtualTime;
let ledger: SessionLedger;
let node: Node;
/** Every call to free a session, and how to answer it. */
let calls: { readonly session: string; readonly end: (result: FreeResult) => void }[];
let replaced: Node[];
let warnings: string[];
let registered: boolean;

beforeEach(() => {
  time = new VirtualTime();
  calls = [];
  replaced = [];
  warnings = [];
  registered = true;
  node = new Node("http://prefill", 0, registration);
  ledger = new SessionLedger({
    after: time.after,
    free: (_node, session) => {
      const { promise, resolve } = Promise.withResolvers<FreeResult>();
      calls.push({ session, end: resolve });
      return promise;
    },
    onReplaced: (other) => replaced.push(other),
    onLeft: () => {},
    isRegistered: () => registered,
    warn: (message) => warnings.push(message),
  });
});

const freed = () => calls.map(({ session }) => session);

function turn(): Promise<void> {
  return new Promise((resume) => setImmediate(resume));
}

async function answer(result: FreeResult): Promise<void> {
  calls.at(-1)?.end(result);
  await turn();
}

async function answerAll(): Promise<void> {
  for (const { end } of calls) end("freed");
  await turn();
}

/** A decode answer under way, and how to end it. */
function leaseOf(outcome: Outcome) {
  const decode = new Node("http://decode", 1, { ...registration, role: "Decode" });
  const lease = new Lease(
    decode,
    { asked: NOTHING_ASKED, request: {}, startedAtMs: 0, trial: false, lastResort: false },
    {
      answering: () => {},
      firstByte: () => {},
      ended: (ended, how) => ledger.leaseEnded(ended, how),
    },
  );
  return { lease, end: () => lease.end(outcome) };
}

describe("a session ends with its answer", () => {
  test.each([
    ["handed over when that was whole", { kind: "answered", status: 200 }, []],
    ["freed when it was an error", { kind: "answered", status: 400 }, ["7"]],
    ["freed when the client left", { kind: "cancelled" }, ["7"]],
    ["freed when it broke off", { kind: "broken", detail: "" }, ["7"]],
    ["freed when it took too long", { kind: "timeout", detail: "" }, ["7"]],
  ] as const)("%s", async (_, outcome, expected) => {
    const session = ledger.open(node, "7");
    const { lease, end } = leaseOf(outcome);
    ledger.follow(session, lease);
    expect([ledger.count(node), freed()]).toEqual([1, []]);
    end();
    expect(freed()).toEqual([...expected]);
    await answer("freed");
    expect(ledger.count(node)).toBe(0);
  });

  test("also when the answer had ended before anybody asked", () => {
    const session = ledger.open(node, "7");
    const { lease, end } = leaseOf({ kind: "answered", status: 200 });
    end();
    ledger.follow(session, lease);
    expect([ledger.count(node), freed()]).toEqual([0, []]);
  });

  test("once: the first end counts", async () => {
    const session = ledger.open(node, "7");
    session.free();
    session.free();
    session.handedOver();
    await answer("freed");
    session.free();
    expect([freed(), ledger.count(node)]).toEqual([["7"], 0]);
  });
});

describe("a free that fails", () => {
  test("is tried again after growing pauses until it succeeds", async () => {
    ledger.open(node, "7").free();
    for (const pauseMs of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
      const before = calls.length;
      await answer("failed");
      time.advance(pauseMs - 1);
      expect(calls).toHaveLength(before);
      time.advance(1);
      expect(calls).toHaveLength(before + 1);
    }
    await answer("freed");
    expect([ledger.count(node), time.pending]).toEqual([0, 0]);
  });

  test("holds the others back, and then they go on, one first", async () => {
    for (let number = 0; number < 40; number += 1) ledger.open(node, String(number)).free();
    expect(calls).toHaveLength(16);
    for (const { end } of calls) end("failed");
    await turn();
    expect(calls).toHaveLength(16);
    time.advance(100);
    expect(calls).toHaveLength(17);
    await answer("freed");
    expect(calls).toHaveLength(33);
    await answerAll();
    await answerAll();
    await answerAll();
    expect([ledger.count(node), new Set(freed()).size]).toEqual([0, 40]);
  });

  test("is given up when the engine has no such call", async () => {
    ledger.open(node, "7").free();
    await answer("given_up");
    expect([ledger.count(node), warnings.length, time.pending]).toEqual([0, 1, 0]);
  });

  test("is given up a while after its node was removed", async () => {
    ledger.open(node, "7").free();
    registered = false;
    for (let i = 0; i < 100 && ledger.count(node) > 0; i += 1) {
      await answer("failed");
      time.advance(5_000);
    }
    expect([ledger.count(node), warnings.length]).toEqual([0, 1]);
    expect(calls.length).toBeLessThan(20);
  });
});

test("gc tries everything that nobody wants, at once, and counts", async () => {
  const wanted = ledger.open(node, "0");
  for (const number of ["1", "2", "3"]) ledger.open(node, number).free();
  for (const { end } of calls) end("failed");
  await turn();
  const collecting = ledger.collect();
  await turn();
  expect(freed().slice(3)).toEqual(["1", "2", "3"]);
  for (const [i, { end }] of calls.slice(3).entries()) end(i === 1 ? "failed" : "freed");
  expect(await collecting).toEqual({ freed: 2, failed: 1 });
  expect(ledger.count(node)).toBe(2);
  wanted.handedOver();
  expect(ledger.count(node)).toBe(1);
});

describe("another process behind the URL", () => {
  test("is told by a number that came before; the old sessions are never freed", async () => {
    const old = ledger.open(node, "0");
    ledger.open(node, "1").free();
    ledger.open(node, "0").free();
    expect(replaced).toEqual([node]);
    old.free();
    expect([freed(), ledger.count(node)]).toEqual([["1", "0"], 1]);
    for (const { end } of calls) end("failed");
    await turn();
    time.advance(60_000);
    await turn();
    expect(freed()).toEqual(["1", "0", "0"]);
  });

  test("is not told by a number that is merely lower", () => {
    for (const number of ["5", "2", "9", "3"]) ledger.open(node, number);
    expect([replaced, ledger.count(node)]).toEqual([[], 4]);
  });

  test("leaves nothing behind when it is forgotten", async () => {
    const session = ledger.open(node, "5");
    ledger.open(node, "6").free();
    const { lease, end } = leaseOf({ kind: "cancelled" });
    ledger.follow(session, lease);
    ledger.forget(node);
    end();
    await answer("failed");
    time.advance(60_000);
    expect([freed(), ledger.count(node), time.pending]).toEqual([["6"], 0, 0]);
    ledger.open(node, "5");
    expect(replaced).toEqual([]);
  });

  test("of another node changes nothing", () => {
    const other = new Node("http://other", 2, registration);
    ledger.open(node, "5");
    ledger.open(other, "5");
    ledger.forget(other);
    expect([ledger.count(node), ledger.count(other), replaced]).toEqual([1, 0, []]);
  });
});

test("a pair is in use while blocks are fetched over it", () => {
  const decode = new Node("http://decode", 3, { ...registration, role: "Decode" });
  const session = ledger.open(node, "0");
  expect([ledger.inUse(node, decode), ledger.isWanted(node)]).toEqual([false, true]);
  session.decodingOn = decode;
  expect(ledger.inUse(node, decode)).toBe(true);
  session.free();
  expect([ledger.inUse(node, decode), ledger.isWanted(node)]).toEqual([false, false]);
});

test("closing waits for prefills whose answer is still to come", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  ledger.expect(promise.then(() => ledger.open(node, "0").free()));
  let isClosed = false;
  const closing = ledger.close().then(() => {
    isClosed = true;
  });
  await turn();
  expect(isClosed).toBe(false);
  resolve();
  await turn();
  expect([freed(), isClosed]).toEqual([["0"], false]);
  await answer("freed");
  await closing;
});

test("an engine that frees nothing does not take all memory", async () => {
  for (let number = 0; number < 60_000; number += 1) ledger.open(node, String(number)).free();
  for (const { end } of calls) end("failed");
  await turn();
  expect(ledger.count(node)).toBeLessThanOrEqual(50_016);
  expect(warnings.length).toBeWithin(1, 100);
});
