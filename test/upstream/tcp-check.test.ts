import { expect, test } from "bun:test";
import fc from "fast-check";
import { countConnecting } from "../../src/upstream/tcp-check.ts";
import { runs } from "../core/fuzz.ts";

const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:8A81 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 0100007F:8ADB 0100007F:5B25 02 00000000:00000000 01:00000000 00000000     0
   2: 0100007F:8ADC 0100007F:5B25 01 00000000:00000000 00:00000000 00000000     0
   3: 0100007F:8ADD 0201A8C0:5B25 02 00000000:00000000 01:00000000 00000000     0
   4: 0100007F:8ADE 0100007F:5B26 02 00000000:00000000 01:00000000 00000000     0
   5: 00000000000000000000000001000000:8ADE B80D0120000000000000000001000000:5B25 02 0:0 0
`;

test.each([
  ["127.0.0.1", 23_333, 1],
  ["192.168.1.2", 23_333, 1],
  ["127.0.0.1", 23_334, 1],
  ["127.0.0.2", 23_333, 0],
  ["2001:db8::1", 23_333, 1],
  ["engine.test", 23_333, 3],
  ["engine.test", 35_457, 0],
])("connections to %s:%d that do not stand yet: %d", (host, port, count) => {
  expect(countConnecting(TABLE, host, port)).toBe(count);
});

test("any text is a table", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(countConnecting(text, "127.0.0.1", 80)).toBe(0);
    }),
    runs(200),
  );
});
