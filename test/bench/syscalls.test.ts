import { expect, test } from "bun:test";
import { exceeded, parseStraceTable } from "../../bench/syscalls.ts";

const TABLE = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 87.09    5.340897        8586       622        93 futex
  8.78    0.538329           6     84237           sendto
  0.00    0.000000           0         1           close
------ ----------- ----------- --------- --------- ----------------
100.00    6.133044          35    171500       157 total
`;

test("calls are read from strace's table, with and without errors", () => {
  expect(parseStraceTable(TABLE)).toEqual({ futex: 622, sendto: 84_237, close: 1 });
});

test("only counts above their limit are told, a missing one is none", () => {
  expect(
    exceeded("request", { total: 9, sendto: 2 }, { total: 8, sendto: 2, connect: 0.1 }),
  ).toEqual(["total: 9.00 per request, at most 8.00"]);
});
