import { expect, test } from "bun:test";
import { CLIENT_GONE, COMPLETE, Exchanges } from "../../src/core/exchange.ts";
import { IdleLimit } from "../../src/http/idle-limit.ts";

const KEEP_ALIVE_S = 75;

function watched() {
  let nowMs = 0;
  const now = () => ++nowMs;
  const exchanges = new Exchanges({ now, report: () => {} });
  const set: [Request, number][] = [];
  const limit = new IdleLimit(
    () => ({
      timeout: (request, seconds) => {
        set.push([request, seconds]);
      },
    }),
    exchanges,
    { now, every: () => () => {} },
    KEEP_ALIVE_S,
  );
  limit.start();
  const begin = () => exchanges.begin("id", new Request("http://proxy/"), "/");
  return { limit, set, begin };
}

test("the limit is lifted from a request that stays open, once, and put back at its end", () => {
  const { limit, set, begin } = watched();
  const exchange = begin();
  const { request } = exchange;
  limit.look();
  expect(set).toEqual([]);
  limit.look();
  limit.look();
  expect(set).toEqual([[request, 0]]);
  exchange.end(COMPLETE);
  exchange.end(COMPLETE);
  expect(set).toEqual([
    [request, 0],
    [request, KEEP_ALIVE_S],
  ]);
});

test("a short request is left alone, and so is one whose client has left", () => {
  const { limit, set, begin } = watched();
  begin().end(COMPLETE);
  const left = begin();
  limit.look();
  left.end(CLIENT_GONE);
  limit.look();
  limit.look();
  expect(set).toEqual([]);
});
