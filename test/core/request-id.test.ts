import { describe, expect, test } from "bun:test";
import { RequestIds } from "../../src/core/request-id.ts";

const idOf = (headers: Record<string, string>, random = (): number => 0.5): string =>
  new RequestIds(random).of(new Headers(headers));
const MADE = /^req-[0-9a-f]{24}$/;

describe("an id that came along is kept", () => {
  test.each(["x-request-id", "x-correlation-id", "X-Trace-Id", "Request-Id"])("%s", (name) => {
    expect(idOf({ [name]: "4bf92f35-77b3:a/b=c" })).toBe("4bf92f35-77b3:a/b=c");
  });

  test("the best known header counts", () => {
    const headers = { "request-id": "d", "x-trace-id": "c", "x-correlation-id": "b" };
    expect(idOf({ ...headers, "x-request-id": "a" })).toBe("a");
    expect(idOf(headers)).toBe("b");
  });

  test("headers that are named by flag come first", () => {
    const ids = new RequestIds(() => 0.5, ["X-Session-Id"]);
    expect(ids.of(new Headers({ "x-request-id": "a", "x-session-id": "s" }))).toBe("s");
    expect(ids.of(new Headers({ "x-request-id": "a", "x-session-id": "no id" }))).toBe("a");
  });

  test("one that cannot be kept is passed over for the next", () => {
    expect(idOf({ "x-request-id": "a b", "x-trace-id": "c" })).toBe("c");
  });
});

test.each([
  "",
  "two words",
  'quo"te',
  "back\\slash",
  "<b>",
  "a,b",
  "é",
  ".",
  "..",
  "x".repeat(129),
])("%j is replaced", (given) => {
  expect(idOf({ "x-request-id": given })).toMatch(MADE);
});

test("a new one depends on chance alone and always has the same length", () => {
  expect(idOf({})).toMatch(MADE);
  expect(idOf({}, () => 0)).toMatch(MADE);
  expect(idOf({}, () => 1 - Number.EPSILON / 2)).toMatch(MADE);
  const numbers = [0.1, 0.2, 0.3, 0.4];
  const random = (): number => numbers.shift() ?? 0;
  expect(idOf({}, random)).not.toBe(idOf({}, random));
});
