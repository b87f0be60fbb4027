import { beforeEach, describe, expect, test } from "bun:test";
import type { HandshakeFailure } from "../../src/distserve/handshake.ts";
import { Pair } from "../../src/distserve/pair.ts";
import { VirtualTime } from "../../src/lab/virtual-time.ts";

const BROKEN: HandshakeFailure = { reason: "no answer", final: false, gone: [] };
const FAIL: HandshakeFailure = { reason: "it answered FAIL", final: true, gone: [] };

let time: VirtualTime;
/** The two engines: handshakes and drops under way, in the order they were asked for. */
let asked: {
  readonly call: "handshake" | "drop";
  readonly end: (failure?: HandshakeFailure | null) => void;
}[];
let pair: Pair;

beforeEach(() => {
  time = new VirtualTime();
  asked = [];
  pair = new Pair({
    now: time.now,
    after: time.after,
    onChange: () => {},
    onFailed: () => {},
    handshake: () => {
      const { promise, resolve } = Promise.withResolvers<HandshakeFailure | null>();
      asked.push({ call: "handshake", end: (failure = null) => resolve(failure) });
      return promise;
    },
    drop: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      asked.push({ call: "drop", end: () => resolve() });
      return promise;
    },
  });
});

/** Lets everything happen that needs no time. */
function turn(): Promise<void> {
  return new Promise((resume) => setImmediate(resume));
}

/** Ends the newest call, which is the one under way. */
async function answer(failure: HandshakeFailure | null = null): Promise<void> {
  asked.at(-1)?.end(failure);
  await turn();
}

async function connected(): Promise<void> {
  const connecting = pair.connect();
  await turn();
  await answer();
  expect(await connecting).toBeNull();
}

/** What a promise has come to by now. */
async function now<T>(promise: Promise<T>): Promise<T | "waits"> {
  await turn();
  return await Promise.race([promise, Promise.resolve("waits" as const)]);
}

const calls = () => asked.map(({ call }) => call);

test("all who ask at the same time share one try", async () => {
  const waiting = [pair.connect(), pair.connect(), pair.settled()];
  await turn();
  expect([calls(), pair.state]).toEqual([["handshake"], "connecting"]);
  await answer();
  expect(await Promise.all(waiting)).toEqual([null, null, null]);
  expect([calls(), pair.state, await pair.connect()]).toEqual([["handshake"], "connected", null]);
});

describe("a try that fails", () => {
  test("is told at once, while the tries go on behind", async () => {
    const first = pair.connect();
    const all = pair.settled();
    await turn();
    await answer(BROKEN);
    expect([await first, await now(all)]).toEqual([BROKEN, "waits"]);
    expect([pair.isBad(), await now(pair.connect())]).toEqual([true, BROKEN]);
    time.advance(100);
    await turn();
    await answer();
    expect([await all, pair.state, pair.isBad()]).toEqual([null, "connected", false]);
  });

  test("since an engine was gone is followed by the next at once, when it is there again", async () => {
    const first = pair.connect();
    await turn();
    await answer({ reason: "refused", final: false, gone: ["p"] });
    await first;
    expect(await now(pair.connect())).toMatchObject({ reason: "refused" });
    const second = pair.connect(true);
    expect([await now(second), pair.state]).toEqual(["waits", "connecting"]);
    await turn();
    await answer();
    expect([await second, pair.state, asked.length]).toEqual([null, "connected", 2]);
    expect(time.pending).toBe(0);
  });

  test("is repeated with growing pauses, 8 times in all", async () => {
    const all = pair.settled();
    const pauses: number[] = [];
    for (let tries = 1; tries <= 8; tries += 1) {
      await turn();
      expect(asked).toHaveLength(tries);
      await answer(BROKEN);
      let pauseMs = 0;
      for (; time.pending > 0; pauseMs += 100) time.advance(100);
      pauses.push(pauseMs);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 0]);
    expect([await all, pair.state, asked.length]).toEqual([BROKEN, "failed", 8]);
  });

  test("is remembered for a minute after the last one", async () => {
    const all = pair.settled();
    for (let tries = 1; tries <= 8; tries += 1) {
      await turn();
      await answer(BROKEN);
      time.advance(5_000);
    }
    await all;
    time.advance(54_999);
    expect(pair.isBad()).toBe(true);
    time.advance(1);
    expect(pair.isBad()).toBe(false);
    void pair.connect();
    await turn();
    expect(asked).toHaveLength(9);
  });
});

describe("a pair that cannot work", () => {
  test("is not tried 8 times, and known as such for a minute", async () => {
    const all = pair.settled();
    await turn();
    await answer(FAIL);
    expect([await all, pair.state, pair.isBad(), time.pending]).toEqual([
      FAIL,
      "impossible",
      true,
      0,
    ]);
    expect(await now(pair.connect())).toBe(FAIL);
    time.advance(60_000);
    expect(pair.isBad()).toBe(false);
  });

  test("is tried again once a second where there is no other", async () => {
    void pair.connect();
    await turn();
    await answer(FAIL);
    time.advance(1_000);
    const again = pair.connect();
    await turn();
    expect([asked.length, await now(again)]).toEqual([2, "waits"]);
    await answer();
    expect(await again).toBeNull();
  });
});

describe("dropping", () => {
  test("tells both engines, and a new handshake waits for that", async () => {
    await connected();
    const dropped = pair.drop();
    expect(pair.state).toBe("unconnected");
    const again = pair.connect();
    await turn();
    expect(calls()).toEqual(["handshake", "drop"]);
    await answer();
    await dropped;
    await turn();
    expect(calls()).toEqual(["handshake", "drop", "handshake"]);
    await answer();
    expect(await again).toBeNull();
  });

  test("ends the waiting, and what the old handshake comes to counts no more", async () => {
    const waiting = pair.connect();
    await turn();
    void pair.drop();
    expect(await waiting).toMatchObject({ final: false });
    expect(calls()).toEqual(["handshake"]);
    await answer();
    expect([calls(), pair.state]).toEqual([["handshake", "drop"], "unconnected"]);
  });

  test("ends the tries, and a pair nobody connected has nothing to drop", async () => {
    void pair.connect();
    await turn();
    await answer(BROKEN);
    void pair.drop();
    expect([time.pending, pair.state]).toEqual([0, "unconnected"]);
    await turn();
    await answer();
    await pair.drop();
    expect(calls()).toEqual(["handshake", "drop"]);
  });
});

describe("suspicion", () => {
  test("counts requests in a row that failed", async () => {
    await connected();
    pair.doubt(time.now());
    pair.doubt(time.now());
    expect(pair.suspicions).toBe(2);
    pair.trust(time.now());
    expect(pair.suspicions).toBe(0);
  });

  async function remake(): Promise<void> {
    const again = pair.connect();
    await turn();
    expect(pair.isConnected).toBe(false);
    await answer();
    expect([await again, pair.suspicions]).toEqual([null, 0]);
  }

  test("makes the next one who asks connect anew, less and less often while that does not help", async () => {
    await connected();
    pair.doubt(time.now());
    await remake();
    for (const ageMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      time.advance(ageMs - 1);
      pair.doubt(time.now());
      expect(pair.suspicions).toBe(0);
      time.advance(1);
      pair.doubt(time.now());
      expect(pair.suspicions).toBe(1);
      await remake();
    }
    pair.trust(time.now());
    time.advance(1_000);
    pair.doubt(time.now());
    expect(pair.suspicions).toBe(1);
    // Where it helps for a moment each time, that is no reason to do nothing else.
    await remake();
    pair.trust(time.now());
    time.advance(999);
    pair.doubt(time.now());
    expect(pair.suspicions).toBe(0);
  });

  test("is none where a request that was sent later has succeeded over the same connection", async () => {
    await connected();
    time.advance(1);
    pair.trust(time.now() - 1);
    expect([pair.since(time.now()), pair.doubt(time.now())]).toEqual([null, true]);
    await remake();
    const sentAtMs = time.now();
    pair.trust(sentAtMs);
    expect([pair.since(sentAtMs), pair.doubt(sentAtMs)]).toEqual(["works", false]);
    expect(pair.suspicions).toBe(0);
  });

  test("falls on the connection that a request was sent over, not on the next", async () => {
    await connected();
    const sentAtMs = time.now();
    time.advance(1);
    pair.suspect();
    await remake();
    pair.trust(time.now());
    expect([pair.since(sentAtMs), pair.doubt(sentAtMs)]).toEqual(["anew", true]);
    expect(pair.suspicions).toBe(0);
  });
});
