import { expect, test } from "bun:test";
import { LineSink } from "../../src/observe/line-sink.ts";

/** A reader that takes its time: what is flushed waits until `read`. */
function slowReader() {
  const written: string[] = [];
  let waiting: PromiseWithResolvers<number> | null = null;
  return {
    written,
    output: {
      write: (text: string) => written.push(text),
      flush: () => {
        waiting = Promise.withResolvers<number>();
        return waiting.promise;
      },
    },
    read: () => waiting?.resolve(0),
    leave: () => waiting?.reject(new Error("EPIPE")),
  };
}

const atOnce = (act: () => void) => act();

test("lines of one turn are written together", () => {
  const written: string[] = [];
  const turn: (() => void)[] = [];
  const output = { write: (text: string) => written.push(text), flush: () => 0 };
  const sink = new LineSink({ output, mostWaiting: 100, soon: (act) => turn.push(act) });
  sink.write("a\n");
  sink.write("b\n");
  expect(turn).toHaveLength(1);
  turn[0]?.();
  expect(written).toEqual(["a\nb\n"]);
});

test("a slow reader costs the lines for which there is no room, and they are counted", async () => {
  const reader = slowReader();
  const sink = new LineSink({ output: reader.output, mostWaiting: 8, soon: atOnce });
  sink.write("first\n");
  sink.write("waits\n");
  sink.write("too much\nof it\n");
  expect(sink.lost).toBe(2);
  expect(reader.written).toEqual(["first\n"]);
  reader.read();
  await Promise.resolve();
  await Promise.resolve();
  expect(reader.written).toEqual(["first\n", "waits\n"]);
  expect(sink.lost).toBe(2);
});

test("whoever waits for all of it waits for what a slow reader has yet to take", async () => {
  const reader = slowReader();
  const sink = new LineSink({ output: reader.output, mostWaiting: 100, soon: atOnce });
  sink.write("first\n");
  sink.write("last\n");
  let isOver = false;
  const flushed = sink.flush().then(() => {
    isOver = true;
  });
  await new Promise((resume) => setImmediate(resume));
  expect([reader.written, isOver]).toEqual([["first\n"], false]);
  reader.read();
  await new Promise((resume) => setImmediate(resume));
  expect([reader.written, isOver]).toEqual([["first\n", "last\n"], false]);
  reader.read();
  await flushed;
});

test("what a reader who has left does not get is counted, and life goes on", async () => {
  const reader = slowReader();
  const sink = new LineSink({ output: reader.output, mostWaiting: 100, soon: atOnce });
  sink.write("lost\n");
  reader.leave();
  await new Promise((resume) => setImmediate(resume));
  expect(sink.lost).toBe(1);
  sink.write("goes on\n");
  expect(reader.written.at(-1)).toBe("goes on\n");
});
