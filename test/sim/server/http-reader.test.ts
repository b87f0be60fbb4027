import { expect, test } from "bun:test";
import fc from "fast-check";
import { HttpReader, MalformedRequest } from "../../../src/sim/server/http-reader.ts";

const WHOLE = Buffer.from(
  "POST /a?b=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" +
    "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" +
    "3\r\nab\n\r\nA;ext=1\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n" +
    "GET /d HTTP/1.0\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n",
);

function readAll(pieces: readonly Uint8Array[]) {
  const reader = new HttpReader();
  const read: unknown[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (let next = reader.next(); next !== null; next = reader.next()) {
      const { method, target, headers, body, keepsAlive, takesChunks } = next;
      const text = Buffer.from(body).toString();
      read.push([method, target, text, headers.get("x-twice"), keepsAlive, takesChunks]);
    }
  }
  expect(reader.isEmpty).toBe(true);
  return read;
}

test("requests are the same wherever their bytes are split", () => {
  const expected = [
    ["POST", "/a?b=1", "hello", null, true, true],
    ["POST", "/c", "ab\n0123456789", null, false, true],
    ["GET", "/d", "", "1, 2", false, false],
  ];
  expect(readAll([WHOLE])).toEqual(expected);
  expect(readAll([...WHOLE].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
  fc.assert(
    fc.property(fc.array(fc.nat(WHOLE.length)), (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), WHOLE.length];
      const pieces = places.slice(1).map((end, i) => WHOLE.subarray(places[i], end));
      expect(readAll(pieces)).toEqual(expected);
    }),
  );
});

test("what is no request is refused, whatever it is", () => {
  for (const bytes of ["hello\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]) {
    const reader = new HttpReader();
    reader.push(Buffer.from(bytes));
    expect(() => reader.next()).toThrow(MalformedRequest);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const reader = new HttpReader();
      reader.push(bytes);
      try {
        reader.next();
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedRequest);
      }
    }),
  );
});

test("a client that waits for a word gets it once", () => {
  const reader = new HttpReader();
  reader.push(Buffer.from("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  expect([reader.next(), reader.takeContinue(), reader.takeContinue()]).toEqual([
    null,
    true,
    false,
  ]);
  reader.push(Buffer.from("ok"));
  expect(reader.next()?.body).toHaveLength(2);
});
