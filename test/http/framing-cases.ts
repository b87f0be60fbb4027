/** Requests whose framing is in doubt, or only looks so; the fuzzer's first inputs, too. */
import { postText } from "../support/raw-http.ts";

export const BODY = '{"model":"tiny"}';
export const SMUGGLED = postText("/v1/smuggled", BODY);
export const CHUNKS = `10\r\n${BODY}\r\n0\r\n\r\n`;

/** A POST with these header lines, as they are, and `body` behind them. */
export function post(lines: readonly string[], body: string, version = "HTTP/1.1"): string {
  const head = [`POST /v1/completions ${version}`, ...lines].map((line) => `${line}\r\n`);
  return `${head.join("")}\r\n${body}`;
}

function withLength(length: string, name = "Content-Length"): string {
  return post(["Host: proxy", `${name}: ${length}`], BODY + SMUGGLED);
}

function withCoding(coding: string, name = "Transfer-Encoding"): string {
  return post(["Host: proxy", `${name}: ${coding}`], CHUNKS + SMUGGLED);
}

export function withChunks(chunks: string): string {
  return post(["Host: proxy", "Transfer-Encoding: chunked"], chunks + SMUGGLED);
}

function withHeader(line: string): string {
  return post(["Host: proxy", line, `Content-Length: ${BODY.length}`], BODY + SMUGGLED);
}

function withHost(host: string): string {
  return post([`Host: ${host}`, `Content-Length: ${BODY.length}`], BODY + SMUGGLED);
}

/** By what is wrong with them: refused, and the connection closed. */
export const REFUSED: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  "the length": [
    [
      "Content-Length and Transfer-Encoding",
      post(["Host: proxy", "Content-Length: 16", "Transfer-Encoding: chunked"], CHUNKS),
    ],
    [
      "Transfer-Encoding and Content-Length",
      post(["Host: proxy", "Transfer-Encoding: chunked", "Content-Length: 5"], CHUNKS),
    ],
    ["two that differ", post(["Host: proxy", "Content-Length: 16", "Content-Length: 5"], BODY)],
    ["two in one that differ", withLength("16, 5")],
    ["two in one", withLength("16, 16")],
    ...[
      "+16",
      "-16",
      "0x10",
      "1 6",
      "16.0",
      "1e1",
      "16;",
      "16_",
      '"16"',
      "\u00b2",
      "",
      "x",
      "NaN",
      "\x0b16",
      "-0",
    ].map((length): [string, string] => [JSON.stringify(length), withLength(length)]),
    ...[
      "9".repeat(30),
      "18446744073709551616",
      "18446744073709551632",
      "9223372036854775808",
      "4294967312",
      "68719476752",
    ].map((length): [string, string] => [length, withLength(length)]),
    ["a blank before the colon", withLength("16", "Content-Length ")],
    ["a tab before the colon", withLength("16", "Content-Length\t")],
  ],
  "the coding": [
    [
      "chunked in two headers",
      post(["Host: proxy", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], CHUNKS),
    ],
    [
      "identity in a second header",
      post(["Host: proxy", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"], CHUNKS),
    ],
    ...[
      "chunked, chunked",
      "gzip, chunked",
      "chunked, gzip",
      "gzip",
      "identity",
      "chunked, identity",
      "xchunked",
      "chunked;q=1",
      '"chunked"',
      "\x0bchunked",
      "chunked\x00",
      "cow",
      "",
      "chun ked",
    ].map((coding): [string, string] => [JSON.stringify(coding), withCoding(coding)]),
    ["a blank before the colon", withCoding("chunked", "Transfer-Encoding ")],
    ["with HTTP/1.0", post(["Host: proxy", "Transfer-Encoding: chunked"], CHUNKS, "HTTP/1.0")],
  ],
  "a chunk": [
    ...[
      "zz",
      "-1",
      "+10",
      "0x10",
      " 10",
      "10 ",
      "1 0",
      "",
      "10000000000000010",
      "ffffffffffffffff",
      "g0",
      "\x0b10",
      "\u00b2",
    ].map((size): [string, string] => [
      `of size ${JSON.stringify(size)}`,
      withChunks(`${size}\r\n${BODY}\r\n0\r\n\r\n`),
    ]),
    ["that ends in LF", withChunks(`10\n${BODY}\n0\n\n`)],
    ["whose size ends in CR", withChunks(`10\r${BODY}\r\n0\r\n\r\n`)],
    ["with LF in its extension", withChunks(`10;a\n${BODY}\r\n0\r\n\r\n`)],
    ["with CR in its extension", withChunks(`10;a\rb\r\n${BODY}\r\n0\r\n\r\n`)],
    ["that is longer than it says", withChunks(`5\r\n${BODY}\r\n0\r\n\r\n`)],
    ["without an end", withChunks(`10\r\n${BODY}0\r\n\r\n`)],
  ],
  "a header": [
    ["that is folded", withHeader("X-A: 1\r\n 2")],
    ["that is folded by a tab", withHeader("X-A: 1\r\n\t2")],
    ["that is folded from the start", post([" X-A: 1", "Host: proxy", "Content-Length: 16"], BODY)],
    ["that is folded into a length", withHeader("X-A: 1\r\n Content-Length: 5")],
    ["with LF", withHeader("X-A: 1\nX-B: 2")],
    ["with CR", withHeader("X-A: 1\rX-B: 2")],
    ["with CR at its end", withHeader("X-A: 1\r")],
    ["with CR in its name", withHeader("X-A\r: 1")],
    ["with NUL", withHeader("X-A: 1\x002")],
    ["with NUL in its name", withHeader("X\x00A: 1")],
    ["with a control character", withHeader("X-A: 1\x012")],
    ["with bytes above ASCII in its name", withHeader("X\xe9: 1")],
    ["without a name", withHeader(": 1")],
    ["without a colon", withHeader("X-A")],
    ["with a blank in its name", withHeader("X A: 1")],
    ["with a delimiter in its name", withHeader("X(A): 1")],
    ["of 200 KB", withHeader(`X-A: ${"a".repeat(200_000)}`)],
    ["of a name of 200 KB", withHeader(`${"X".repeat(200_000)}: a`)],
    [
      "that is one of 500",
      withHeader(Array.from({ length: 500 }, (_, i) => `X-${i}: a`).join("\r\n")),
    ],
    [
      "that is one of endless many",
      `GET /health HTTP/1.1\r\nHost: proxy\r\n${"X-A: a\r\n".repeat(100_000)}`,
    ],
    ["without an end", `GET /health HTTP/1.1\r\nHost: proxy\r\nX-A: ${"a".repeat(1_000_000)}`],
  ],
  "the host": [
    ["missing", post([`Content-Length: ${BODY.length}`], BODY + SMUGGLED)],
    [
      "missing with HTTP/1.0",
      post([`Content-Length: ${BODY.length}`], BODY + SMUGGLED, "HTTP/1.0"),
    ],
    ["twice", post(["Host: a", "Host: b", "Content-Length: 16"], BODY)],
    ["twice the same", post(["Host: a", "Host: a", "Content-Length: 16"], BODY)],
    ["twice, once empty", post(["Host: a", "Host:", "Content-Length: 16"], BODY)],
    ...[
      "",
      "a,b",
      "a, b",
      ",",
      "a b",
      "a/b",
      "a?b",
      "a#b",
      "u@a",
      "u:p@a",
      "a\\b",
      "a\tb",
      "[",
      "[::1",
      "::1",
      "a:b",
      "a:1:2",
      "a:123456",
      "a%2fb",
      "http://a",
      "\xe9",
      "*",
      "a'b",
    ].map((host): [string, string] => [JSON.stringify(host), withHost(host)]),
  ],
  "the request line": [
    ["of no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".padEnd(300, "x")],
    ["of HTTP/0.9", "GET /health\r\n\r\n"],
    ["of HTTP/1.2", post(["Host: proxy", "Content-Length: 16"], BODY, "HTTP/1.2")],
    ["of HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["in lower case", post(["Host: proxy", "Content-Length: 16"], BODY, "http/1.1")],
    ["with a blank too many", "GET  /health HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["with a blank at its end", "GET /health HTTP/1.1 \r\nHost: proxy\r\n\r\n"],
    ["with a blank in its target", "GET /hea lth HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["with NUL in its target", "GET /hea\x00lth HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["with a header in its target", "GET /health\rX-A:1 HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["of an unknown method", "FOO /health HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["of a method in lower case", "get /health HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["of an endless method", `${"A".repeat(100_000)} /health HTTP/1.1\r\nHost: proxy\r\n\r\n`],
    ["of an endless target", `GET /${"a".repeat(1_000_000)} HTTP/1.1\r\nHost: proxy\r\n\r\n`],
    ["of an authority", "GET proxy:80 HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["of a tunnel", "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n"],
    ["of everything", "OPTIONS * HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["of another scheme", "GET ftp://proxy/health HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["of a relative path", "GET health HTTP/1.1\r\nHost: proxy\r\n\r\n"],
    ["of a fragment", postText("/v1/load_lora_adapter#x", BODY)],
    ["in LF alone", post(["Host: proxy", "Content-Length: 16"], BODY).replaceAll("\r\n", "\n")],
  ],
};

/** One whole request each. */
export const ACCEPTED: readonly (readonly [string, string])[] = [
  ["a length", post(["Host: proxy", "Content-Length: 16"], BODY)],
  [
    "the same length twice",
    post(["Host: proxy", "Content-Length: 16", "Content-Length: 16"], BODY),
  ],
  ["a length with zeros before it", post(["Host: proxy", "Content-Length: 00016"], BODY)],
  ["a length between blanks", post(["Host: proxy", "Content-Length: \t 16 \t"], BODY)],
  ["chunks", post(["Host: proxy", "Transfer-Encoding: chunked"], CHUNKS)],
  ["chunks in capitals", post(["Host: proxy", "TRANSFER-ENCODING: Chunked"], CHUNKS)],
  [
    "many chunks",
    post(
      ["Host: proxy", "Transfer-Encoding: chunked"],
      `${[...BODY].map((c) => `1\r\n${c}\r\n`).join("")}0\r\n\r\n`,
    ),
  ],
  [
    "a chunk with an extension",
    post(
      ["Host: proxy", "Transfer-Encoding: chunked"],
      CHUNKS.replace("10\r\n", '10;a=b;c="d"\r\n'),
    ),
  ],
  [
    "a chunk with zeros before its size",
    post(["Host: proxy", "Transfer-Encoding: chunked"], `000000${CHUNKS}`),
  ],
  ["HTTP/1.0", post(["Host: proxy", "Content-Length: 16"], BODY, "HTTP/1.0")],
  [
    "bytes above ASCII in a header",
    post(["Host: proxy", "X-A: \xe9\xff", "Content-Length: 16"], BODY),
  ],
  ["a short host", post(["Host: a", "Content-Length: 16"], BODY)],
  ["a host with a port", post(["Host: a.b-c_d:8000", "Content-Length: 16"], BODY)],
  ["an IPv6 host", post(["Host: [::1]:8000", "Content-Length: 16"], BODY)],
  ...["http://proxy", "http://other.test:1", "HTTP://PROXY", "https://proxy", "http://a"].map(
    (start): [string, string] => [
      `an absolute target, ${start}`,
      post(["Host: proxy", "Content-Length: 16"], BODY).replace(" /v1", ` ${start}/v1`),
    ],
  ),
  [
    "an upgrade, without one",
    post(
      [
        "Host: proxy",
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQ",
        "Content-Length: 16",
      ],
      BODY,
    ),
  ],
];
