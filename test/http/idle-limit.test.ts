import { expect, test } from "bun:test";
import { KEEP_ALIVE_S } from "../../src/http/bun-server.ts";
import { IdleLimit } from "../../src/http/idle-limit.ts";
import { realClock } from "../support/clock.ts";

function watched() {
  const set: [Request, number][] = [];
  const limit = new IdleLimit(
    () => ({
      timeout: (request, seconds) => {
        set.push([request, seconds]);
      },
    }),
    realClock.every,
  );
  return { limit, set };
}

test("the limit is lifted from a request that stays open, once, and put back at its end", () => {
  const { limit, set } = watched();
  const request = new Request("http://proxy/");
  const open = limit.begin(request);
  limit.look();
  expect(set).toEqual([]);
  limit.look();
  limit.look();
  expect(set).toEqual([[request, 0]]);
  limit.end(open);
  limit.end(open);
  expect(set).toEqual([
    [request, 0],
    [request, KEEP_ALIVE_S],
  ]);
});

test("a short request is left alone, and so is one whose client has left", () => {
  const { limit, set } = watched();
  limit.end(limit.begin(new Request("http://proxy/")));
  const client = new AbortController();
  const left = limit.begin(new Request("http://proxy/", { signal: client.signal }));
  limit.look();
  client.abort();
  limit.look();
  limit.look();
  limit.end(left);
  expect(set).toEqual([]);
});
