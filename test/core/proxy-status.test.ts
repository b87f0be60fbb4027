import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProxyError } from "../../src/core/errors.ts";
import { proxyStatus } from "../../src/core/proxy-status.ts";
import { runs } from "./fuzz.ts";

test("says the registered type, our kind and the message", () => {
  const error = new ProxyError("model_not_found", "The model `x` does not exist.");
  expect(proxyStatus(error)).toBe(
    'lmproxy; error=destination_not_found; kind=model_not_found; details="The model `x` does not exist."',
  );
});

/** A structured field's list of one item with three parameters (RFC 8941 §3), the last one a string. */
const FIELD =
  /^lmproxy; error=[a-z_]+; kind=[a-z_]+; details="(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"$/;

test("is a structured field of bounded length, whatever the message holds", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), (message) => {
      const value = proxyStatus(new ProxyError("invalid_request", message));
      expect(value).toMatch(FIELD);
      expect(value.length).toBeLessThan(600);
      expect(new Headers({ "proxy-status": value }).get("proxy-status")).toBe(value);
    }),
    runs(300),
  );
});
