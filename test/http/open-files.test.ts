import { expect, test } from "bun:test";
import { ProxyError } from "../../src/core/errors.ts";
import { OpenFiles } from "../../src/http/open-files.ts";

/** A process that may have `most` files, of which tests say how many are open. */
function setUp(most: number | null) {
  const state = { open: 100, nowMs: 0, counts: 0 };
  const said: string[] = [];
  const files = new OpenFiles({
    count() {
      state.counts += 1;
      return state.open;
    },
    most,
    now: () => state.nowMs,
    onChange: (isLow, open) => said.push(`${isLow ? "low" : "enough"} at ${open}`),
  });
  const begin = (): boolean => {
    try {
      files.assureSome();
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(ProxyError);
      return false;
    }
  };
  return { state, said, begin };
}

test("requests begin while a reserve is left, and again once there is one; each is said once", () => {
  const { state, said, begin } = setUp(1_000);
  // 900 of the 1,000 are free, of which 50 stay.
  const begun = Array.from({ length: 500 }, begin).filter(Boolean).length;
  expect(begun).toBe(425);
  expect(said).toEqual(["low at 100"]);
  // They have ended.
  state.nowMs += 20;
  expect(begin()).toBe(true);
  expect(said).toHaveLength(1);
  state.open = 949;
  state.nowMs += 20;
  expect(Array.from({ length: 425 }, begin).at(-1)).toBe(false);
  state.open = 100;
  state.nowMs += 10_000;
  expect(begin()).toBe(true);
  expect(said).toEqual(["low at 100", "enough at 100"]);
});

test("files are counted for one in so many requests", () => {
  const { state, begin } = setUp(10_000);
  for (let i = 0; i < 100_000; i += 1) {
    state.nowMs += 1;
    expect(begin()).toBe(true);
  }
  expect(state.counts).toBeLessThan(25);
});

test("where the system says nothing of files, all begin", () => {
  const { begin } = setUp(null);
  expect(Array.from({ length: 10_000 }, begin).every(Boolean)).toBe(true);
});
