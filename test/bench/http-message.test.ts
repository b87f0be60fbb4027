import { expect, test } from "bun:test";
import fc from "fast-check";
import { MessageReader } from "../../bench/http-message.ts";

/** Reads a response in the given pieces; what came of it, with `cut` when the end came too early. */
function read(pieces: readonly Buffer[]): { bodies: string[]; isWhole: boolean } {
  const bodies: string[] = [];
  let body = "";
  const reader = new MessageReader("response", {
    onHead: () => {
      body = "";
    },
    onBody: (data, start, end) => {
      body += data.toString("latin1", start, end);
    },
    onEnd: () => {
      bodies.push(body);
    },
  });
  for (const piece of pieces) reader.feed(piece);
  const isWhole = reader.eof();
  return { bodies, isWhole };
}

function splitAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % bytes.length))].toSorted((a, b) => a - b);
  return [...places, bytes.length].map((end, i) => bytes.subarray(places[i - 1] ?? 0, end));
}

const LENGTH = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const EMPTY = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const CHUNKED =
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n, world!!!\r\n0\r\nTrailer: 1\r\n\r\n";
const INTERIM = "HTTP/1.1 100 Continue\r\n\r\n";

test("messages read the same however their bytes are split", () => {
  const bytes = Buffer.from(LENGTH + CHUNKED + INTERIM + EMPTY + LENGTH, "latin1");
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 20 }), (cuts) => {
      expect(read(splitAt(bytes, cuts))).toEqual({
        bodies: ["hello", "hello, world!!!", "", "hello"],
        isWhole: true,
      });
    }),
  );
});

test("an answer cut anywhere is not whole", () => {
  for (const message of [LENGTH, CHUNKED]) {
    for (let at = 1; at < message.length; at++) {
      const { bodies, isWhole } = read([Buffer.from(message.slice(0, at), "latin1")]);
      expect({ at, bodies, isWhole }).toEqual({ at, bodies: [], isWhole: false });
    }
  }
});

test("a body without a length ends with its connection", () => {
  const bytes = Buffer.from("HTTP/1.1 200 OK\r\n\r\nto the end", "latin1");
  expect(read([bytes])).toEqual({ bodies: ["to the end"], isWhole: true });
});

test.each(["x\r\n", "\r\n", "123456789\r\n", "3\r\nabcd\r\n"])(
  "a chunk that starts with %j is refused",
  (chunk) => {
    const bytes = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`;
    expect(() => read([Buffer.from(bytes, "latin1")])).toThrow();
  },
);

test("endless headers are refused", () => {
  expect(() => read([Buffer.alloc(70_000, "a")])).toThrow("endless headers");
});
