import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { normaliseNodeUrl } from "../../../src/core/address/node-url.ts";
import { ProxyError } from "../../../src/core/errors.ts";
import { runs } from "../fuzz.ts";

describe("one spelling for each node", () => {
  test.each([
    ["http://10.0.0.7:23333", "http://10.0.0.7:23333"],
    ["HTTP://10.0.0.7:23333/", "http://10.0.0.7:23333"],
    ["http://Node-1.Example.COM:80/", "http://node-1.example.com"],
    ["https://node:443", "https://node"],
    ["https://node:80", "https://node:80"],
    ["https://münchen.example:8000", "https://xn--mnchen-3ya.example:8000"],
    ["http://node/engines/a/", "http://node/engines/a"],
    ["http://node//", "http://node"],
    ["http://node/v1alpha", "http://node/v1alpha"],
    ["http://0x7f.1:8000", "http://127.0.0.1:8000"],
    ["http://2130706433", "http://127.0.0.1"],
    ["http://127.0.0.1.:8000", "http://127.0.0.1:8000"],
    ["http://[::ffff:10.0.0.7]:8000", "http://10.0.0.7:8000"],
    ["http://[2001:DB8:0:0::7]:8000", "http://[2001:db8::7]:8000"],
    ["http://gpu_1:8000", "http://gpu_1:8000"],
  ])("%s", (input, expected) => {
    expect(normaliseNodeUrl(input)).toBe(expected);
  });

  test("the normal form is its own normal form (property)", () => {
    const url = fc.webUrl({
      authoritySettings: { withIPv4: true, withIPv6: true, withPort: true },
    });
    fc.assert(
      fc.property(url, (input) => {
        fc.pre(![undefined, "0"].includes(URL.parse(input)?.port) && !/\/v1\/*$/.test(input));
        const normal = normaliseNodeUrl(input);
        expect(normaliseNodeUrl(normal)).toBe(normal);
        expect(normal).not.toEndWith("/");
      }),
      runs(500),
    );
  });
});

describe("a bind address", () => {
  test.each([
    ["0.0.0.0", "127.0.0.1"],
    ["0", "127.0.0.1"],
    ["0x0", "127.0.0.1"],
    ["[::ffff:0.0.0.0]", "127.0.0.1"],
    ["[::]", "[::1]"],
    ["[0:0::0.0.0.0]", "[::1]"],
  ])("%s is this machine's %s, or its peer's", (host, loopback) => {
    const own = `http://${loopback}:23333`;
    const of = (peerAddress: string | null, localAddresses: string[] = []): string =>
      normaliseNodeUrl(`http://${host}:23333`, { peerAddress, localAddresses });
    expect(of("10.0.0.7")).toBe("http://10.0.0.7:23333");
    expect(of("::ffff:10.0.0.7")).toBe("http://10.0.0.7:23333");
    expect(of("fd00::7")).toBe("http://[fd00::7]:23333");
    expect(of("fe80::1%eth0")).toBe("http://[fe80::1]:23333");
    expect(of("127.0.0.1")).toBe(own);
    expect(of("::ffff:127.0.0.1")).toBe(own);
    expect(of("::1")).toBe(own);
    expect(of(null)).toBe(own);
    expect(of("10.0.0.7", ["10.0.0.7"])).toBe(own);
    expect(of("fd00::7", ["fd00:0::7"])).toBe(own);
  });

  test("an address of one's own is left alone", () => {
    const options = { peerAddress: "10.0.0.7" };
    expect(normaliseNodeUrl("http://127.0.0.1:1", options)).toBe("http://127.0.0.1:1");
    expect(normaliseNodeUrl("http://10.0.0.8:1", options)).toBe("http://10.0.0.8:1");
  });
});

describe("what is refused, and what would be right", () => {
  test.each([
    ["", "with its scheme"],
    ["10.0.0.7:23333", "with its scheme"],
    ["localhost:23333", "with its scheme"],
    ["http:10.0.0.7", "with its scheme"],
    ["http:///v1", "names no host"],
    ["ftp://node", "not ftp"],
    ["file:///etc/passwd", "not file"],
    ["http://node?x=1", "base URL alone"],
    ["http://node/#x", "base URL alone"],
    ["http://node:8000/v1", "Write http://node:8000."],
    ["http://node:8000/a/v1/", "Write http://node:8000/a."],
    ["http://node:0", "valid host and port"],
    ["http://node:70000", "valid host and port"],
    ["http://256.1.1.1", "valid host and port"],
    ["http://1.2.3.4.5", "valid host and port"],
    ["http://[::1", "valid host and port"],
    ["http://no de", "blanks"],
    [" http://node", "blanks"],
    ["http://no\tde", "blanks"],
    ["http:\\\\node", "blanks"],
    ["http://node\u0000", "blanks"],
    [`http://${"a".repeat(3000)}`, "longer than"],
  ])("%j", (input, hint) => {
    expect(() => normaliseNodeUrl(input)).toThrow(hint);
  });

  test("credentials, without repeating them", () => {
    for (const url of [
      ...["http://me:secret@node", "http://secret@node", "http://@node"],
      ...["me:secret@node", "//me:secret@node", "http:/me:secret@node", "http:///me:secret@node"],
      ...["http:me:secret@node:1", "ftp://me:secret@node"],
    ]) {
      expect(() => normaliseNodeUrl(url)).toThrow("credentials");
      expect(() => normaliseNodeUrl(url)).not.toThrow("secret");
    }
  });

  test("a query or fragment, without repeating it: keys stand there, too", () => {
    for (const url of ["http://node?key=secret", "http://node/#secret", "node?a@b&key=secret"]) {
      expect(() => normaliseNodeUrl(url)).toThrow("base URL alone");
      expect(() => normaliseNodeUrl(url)).not.toThrow("secret");
    }
  });

  test("any text at all gives a URL or a 400 (property)", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .string({ unit: fc.constantFrom(..."htp:/[].%@0x1 a?#\\é") })
        .map((rest) => `http://${rest}`),
    );
    fc.assert(
      fc.property(text, (input) => {
        try {
          expect(URL.canParse(normaliseNodeUrl(input))).toBe(true);
        } catch (error) {
          if (!(error instanceof ProxyError)) throw error;
          expect(error.status).toBe(400);
          expect(error.options.param).toBe("url");
        }
      }),
      runs(3000),
    );
  });
});
