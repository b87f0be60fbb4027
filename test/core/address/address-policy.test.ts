import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type AddressPolicy,
  judgeAddress,
  judgeHost,
  parseAllowRule,
} from "../../../src/core/address/address-policy.ts";
import { inCidrs, LOCAL_AND_PRIVATE, parseCidr } from "../../../src/core/address/cidr.ts";
import { normaliseNodeUrl } from "../../../src/core/address/node-url.ts";
import { ProxyError } from "../../../src/core/errors.ts";
import { runs } from "../fuzz.ts";

const policy = (...allow: string[]): AddressPolicy => ({
  proxyPort: 8000,
  localAddresses: ["10.0.0.5", "fd00::5", "::ffff:10.0.0.6"],
  allow: allow.map(parseAllowRule),
});

/** The reason against a node's URL, written as a client may write it. */
const judge = (url: string, ...allow: string[]): string | null =>
  judgeHost(normaliseNodeUrl(url), policy(...allow));

describe("what is always refused", () => {
  test.each([
    "169.254.169.254",
    "169.254.0.1",
    "0xa9.254.169.254",
    "2852039166",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[::ffff:0:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:a9fe:a9fe::1]",
    "[2001:0:a0a:a0a:0:0:5601:5601]",
    "[fd00::5efe:169.254.169.254]",
    "[fe80::1]",
    "[febf::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "224.0.0.1",
    "239.255.255.250",
    "[ff02::1]",
    "255.255.255.255",
    "0.1.2.3",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "instance-data",
  ])("http://%s", (host) => {
    expect(judge(`http://${host}:80`)).toContain("never an engine");
    expect(judge(`https://${host}`, "0.0.0.0/0", "::/0", "*")).toContain("never an engine");
  });

  test("addresses that a name was resolved to, or that nobody can resolve to", () => {
    const allowed = policy("*");
    expect(judgeAddress("169.254.169.254", 80, allowed, "node")).toContain("metadata");
    expect(judgeAddress("fe80::1%eth0", 80, allowed, "node")).toContain("link-local");
    expect(judgeAddress("0.0.0.0", 80, allowed, "node")).toContain("unspecified");
    expect(judgeAddress("::", 80, allowed, "node")).toContain("unspecified");
    expect(judgeAddress("not-an-ip", 80, allowed, "node")).toContain("not an IP address");
    expect(judgeAddress("0x7f.1", 80, allowed, "node")).toContain("not an IP address");
  });

  test.each([
    "127.0.0.1",
    "127.9.9.9",
    "[::1]",
    "10.0.0.5",
    "10.0.0.6",
    "[fd00:0::5]",
    "[::ffff:10.0.0.5]",
    "[64:ff9b::10.0.0.5]",
    "localhost",
    "proxy.localhost.",
  ])("the proxy itself as %s", (host) => {
    expect(judge(`http://${host}:8000`)).toContain("this proxy itself");
    expect(judge(`http://${host}:8001`)).toBeNull();
  });

  test("the proxy itself on a default port", () => {
    const onHttps = { ...policy(), proxyPort: 443 };
    expect(judgeHost("https://127.0.0.1", onHttps)).toContain("this proxy itself");
    expect(judgeHost("http://127.0.0.1", onHttps)).toBeNull();
  });
});

test.each([
  ...["127.0.0.1", "[::1]", "10.1.2.3", "172.16.0.1", "192.168.1.1", "[fd00::7]", "8.8.8.8"],
  ...["[2001:db8::7]", "100.64.0.1", "node", "node.example.com", "192.0.0.193", "1.2.3.4"],
])("engines may live at %s", (host) => {
  expect(judge(`http://${host}:23333`)).toBeNull();
});

describe("--allow-nodes", () => {
  test("addresses by range", () => {
    expect(judge("http://10.1.2.3", "10.0.0.0/8")).toBeNull();
    expect(judge("http://[::ffff:10.1.2.3]", "10.0.0.0/8")).toBeNull();
    expect(judge("http://11.1.2.3", "10.0.0.0/8")).toContain("--allow-nodes");
    expect(judge("http://11.1.2.3", "10.0.0.0/8", "11.1.2.3")).toBeNull();
    expect(judge("http://11.1.2.3", "*.example.com")).toContain("--allow-nodes");
    expect(judge("http://[fd00::7]", "fd00::/8")).toBeNull();
    expect(judge("http://[fd00::7]", "0.0.0.0/0")).toContain("--allow-nodes");
  });

  test("names by pattern, whatever the case", () => {
    expect(judge("http://a.b.Example.com", "*.EXAMPLE.com")).toBeNull();
    expect(judge("http://a.example.com.", "*.example.com")).toBeNull();
    expect(judge("http://example.com", "*.example.com")).toContain("--allow-nodes");
    expect(judge("http://a.example.com.evil.net", "*.example.com")).toContain("--allow-nodes");
    expect(judge("http://axexample.com", "a.example.com")).toContain("--allow-nodes");
    expect(judge("http://gpu-17", "gpu-*")).toBeNull();
    expect(judge("http://münchen.example", "münchen.example")).toBeNull();
  });

  test("names when they are resolved: their pattern or a range allows the address", () => {
    const both = policy("*.example.com", "10.0.0.0/8");
    expect(judge("http://node.other", "10.0.0.0/8")).toBeNull();
    expect(judgeAddress("10.1.2.3", 80, both, "node.other")).toBeNull();
    expect(judgeAddress("11.1.2.3", 80, both, "node.other")).toContain("--allow-nodes");
    expect(judgeAddress("11.1.2.3", 80, both, "A.example.com.")).toBeNull();
  });

  test.each([
    "",
    "http://node",
    "10.0.0.0/33",
    "node:80",
    "a b",
    "user@node",
    "[::1",
    "10.0.0.256",
  ])("%j is refused", (text) => {
    expect(() => parseAllowRule(text)).toThrow(ProxyError);
  });
});

/** Whether `ip` lies in the range that `cidr` spells. */
const isIn = (ip: string, cidr: string): boolean => inCidrs(ip, [parseCidr(cidr)]);

describe("ranges", () => {
  test("loopback and private by default", () => {
    for (const ip of ["127.0.0.1", "::1", "::ffff:10.0.0.1", "172.31.255.255", "192.168.0.1"]) {
      expect(inCidrs(ip, LOCAL_AND_PRIVATE.map(parseCidr))).toBe(true);
    }
    for (const ip of ["8.8.8.8", "172.32.0.1", "2001:db8::1", "fe80::1", "169.254.1.1", "", "x"]) {
      expect(inCidrs(ip, LOCAL_AND_PRIVATE.map(parseCidr))).toBe(false);
    }
  });

  test("a mapped range is the IPv4 range, a single address is itself", () => {
    expect(isIn("10.9.9.9", "::ffff:10.0.0.0/104")).toBe(true);
    expect(isIn("11.9.9.9", "::ffff:10.0.0.0/104")).toBe(false);
    expect(isIn("10.0.0.7", "10.0.0.7")).toBe(true);
    expect(isIn("10.0.0.8", "10.0.0.7")).toBe(false);
    expect(isIn("8.8.8.8", "0.0.0.0/0")).toBe(true);
    expect(isIn("fd00::1%eth0", "fd00::/8")).toBe(true);
  });

  test.each(["", "10/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "a/8", "::1/8/8"])(
    "%j is refused",
    (text) => {
      expect(() => parseCidr(text)).toThrow(/Write one such as/);
    },
  );

  test("an address is in a range when their first bits are equal (property)", () => {
    const ip = fc.ipV4();
    const bits = (text: string): string =>
      text
        .split(".")
        .map((part) => Number(part).toString(2).padStart(8, "0"))
        .join("");
    fc.assert(
      fc.property(ip, ip, fc.nat(32), (one, other, prefix) => {
        const expected = bits(one).slice(0, prefix) === bits(other).slice(0, prefix);
        expect(isIn(one, `${other}/${prefix}`)).toBe(expected);
        expect(isIn(one, `${one}/${prefix}`)).toBe(true);
      }),
      runs(500),
    );
  });
});
