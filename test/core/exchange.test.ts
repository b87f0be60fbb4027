import { expect, test } from "bun:test";
import { CLIENT_GONE, COMPLETE, Exchanges } from "../../src/core/exchange.ts";

function counting() {
  let nowMs = 0;
  const reported: unknown[] = [];
  const exchanges = new Exchanges({
    now: () => nowMs,
    report: (error) => {
      reported.push(error);
    },
  });
  const begin = () => exchanges.begin("id", new Request("http://proxy/x"), "/x");
  const at = (ms: number) => {
    nowMs = ms;
  };
  return { exchanges, reported, begin, at };
}

test("times, pieces and the longest gap between two of them are written down", () => {
  const { begin, at } = counting();
  at(5);
  const exchange = begin();
  at(7);
  exchange.admitted();
  exchange.head(200);
  exchange.piece(10, 20);
  exchange.piece(1, 21);
  exchange.piece(1, 40);
  exchange.piece(1, 45);
  at(46);
  exchange.end(COMPLETE);
  expect(exchange).toMatchObject({
    ...{ beganAtMs: 5, admittedAtMs: 7, status: 200, firstByteAtMs: 20, longestGapMs: 19 },
    ...{ pieces: 4, bytesOut: 13, endedAtMs: 46, ended: { how: "complete" } },
  });
});

test("the first end counts, and is told once, to everybody, whatever one of them throws", () => {
  const { exchanges, reported, begin } = counting();
  const told: string[] = [];
  const mistake = new Error("a listener's own");
  exchanges.subscribe(() => {
    throw mistake;
  });
  const unsubscribe = exchanges.subscribe(({ ended }) => told.push(ended?.how ?? "open"));
  const exchange = begin();
  expect(exchanges.open.size).toBe(1);
  exchange.end(CLIENT_GONE);
  exchange.end(COMPLETE);
  expect([told, reported, exchanges.open.size]).toEqual([["client_gone"], [mistake], 0]);
  unsubscribe();
  begin().end(COMPLETE);
  expect(told).toEqual(["client_gone"]);
});

test("idle resolves when the last one has ended, also one that began meanwhile", async () => {
  const { exchanges, begin } = counting();
  await exchanges.idle();
  const first = begin();
  let isIdle = false;
  const idle = exchanges.idle().then(() => {
    isIdle = true;
  });
  const second = begin();
  first.end(COMPLETE);
  await Promise.resolve();
  expect(isIdle).toBe(false);
  second.end(COMPLETE);
  await idle;
});
