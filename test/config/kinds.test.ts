import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  byteSize,
  cidr,
  cidrOrHostPattern,
  delaySeconds,
  nodeUrl,
  origin,
  secondsOrNoLimit,
} from "../../src/config/kinds.ts";

describe("seconds", () => {
  test("become milliseconds without the noise of binary fractions", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2_147_483_000 }), (ms) => {
        expect(delaySeconds.parse((ms / 1000).toFixed(3))).toBe(ms);
      }),
    );
  });

  test("are shown as they would be typed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2_147_483_000 }), (ms) => {
        const expected = ms === 0 ? null : ms;
        expect(secondsOrNoLimit.parse(secondsOrNoLimit.show(expected))).toBe(expected);
      }),
    );
  });

  test.each(["", " 1", "1 ", "-1", "+1", "1e3", "Infinity", "NaN", "1,5", "0x1", "."])(
    "%j is none",
    (text) => {
      expect(delaySeconds.parse(text)).toBeUndefined();
    },
  );
});

describe("sizes", () => {
  test.each([
    ["1", 1],
    ["1048576", 1_048_576],
    ["512k", 524_288],
    ["64MiB", 67_108_864],
    ["64 mib", 67_108_864],
    ["1GB", 1_000_000_000],
    ["0.5KiB", 512],
  ])("%s is %i bytes", (text, bytes) => {
    expect(byteSize.parse(text)).toBe(bytes);
  });

  test("are shown as they would be typed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (bytes) => {
        expect(byteSize.parse(byteSize.show(bytes))).toBe(bytes);
      }),
    );
  });
});

describe("networks", () => {
  test.each(["10.0.0.0/8", "192.168.1.7", "fd00::/8", "::1", "0.0.0.0/0"])("%s", (text) => {
    expect(cidr.parse(text)).toBe(text);
  });

  // Old readings of IPv4 addresses would trust other machines than the ones meant.
  test.each(["10/8", "010.0.0.0/8", "0x0a.0.0.0/8", "10.0.0.0/", "10.0.0.0/8/8", "a/8", "/8", ""])(
    "%j is none",
    (text) => {
      expect(cidr.parse(text)).toBeUndefined();
      if (text.includes("/")) expect(cidrOrHostPattern.parse(text)).toBeUndefined();
    },
  );
});

describe("node URLs", () => {
  test.each([
    "http://a",
    "HTTPS://A:443/",
    "http://0.0.0.0:23333",
    "http://[::1]:1/",
    "http://bücher.example",
  ])("%s is kept as it was typed", (text) => {
    expect(nodeUrl.parse(text)).toBe(text);
  });

  test.each([
    "a",
    "//a",
    "http:a",
    "http://",
    "http:///a",
    "http://?x",
    "http://a b",
    "http://u@a",
    "http://u:p@a",
    "http://a:99999",
    "file:///etc",
  ])("%j is none", (text) => {
    expect(nodeUrl.parse(text)).toBeUndefined();
  });
});

describe("origins", () => {
  // As browsers send them, extensions and applications with a browser inside, too.
  test.each([
    "*",
    "https://app.example",
    "http://localhost:3000",
    "http://[::1]:1",
    "chrome-extension://abcdef",
    "app://obsidian.md",
    "tauri://localhost",
    "file://",
  ])("%s", (text) => {
    expect(origin.parse(text)).toBe(text);
  });

  test.each([
    "https://a/",
    "https://A",
    "https://a:443",
    "https://*.a",
    "https://",
    "app://a/b",
    "app://u@a",
    "app:a",
    "a",
    "null",
    "",
  ])("%j is none", (text) => {
    expect(origin.parse(text)).toBeUndefined();
  });
});
