import { expect, test } from "bun:test";
import fc from "fast-check";
import { clientAddress } from "../../../src/core/address/forwarded-for.ts";
import { runs } from "../fuzz.ts";

const trusts = (address: string) => address.startsWith("10.");

test.each([
  [null, "10.0.0.1", "10.0.0.1"],
  ["", "10.0.0.1", "10.0.0.1"],
  ["192.0.2.7", "10.0.0.1", "192.0.2.7"],
  ["192.0.2.7:4711", "10.0.0.1", "192.0.2.7"],
  ["[2001:db8::1]:443", "10.0.0.1", "2001:db8::1"],
  ["2001:DB8::1", "10.0.0.1", "2001:db8::1"],
  ["::ffff:192.0.2.7", "10.0.0.1", "192.0.2.7"],
  ["192.0.2.7, 10.0.0.2", "10.0.0.1", "192.0.2.7"],
  ["1.1.1.1, 192.0.2.7, 10.0.0.2", "10.0.0.1", "192.0.2.7"],
  ["10.9.9.9, 10.0.0.2", "10.0.0.1", "10.9.9.9"],
  ["unknown", "10.0.0.1", "10.0.0.1"],
  ["192.0.2.7, unknown, 10.0.0.2", "10.0.0.1", "10.0.0.2"],
  ["1.1.1.1", "192.0.2.9", "192.0.2.9"],
])("%p by way of %s is %s", (chain, peer, expected) => {
  expect(clientAddress(chain, peer, trusts)).toBe(expected);
});

test("whatever a client writes before it, the last untrusted hop is the client (property)", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme-ascii", maxLength: 2_000 }), (forged) => {
      expect(clientAddress(`${forged},192.0.2.7, 10.0.0.2`, "10.0.0.1", trusts)).toBe("192.0.2.7");
    }),
    runs(300),
  );
});
