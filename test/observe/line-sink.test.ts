import { expect, test } from "bun:test";
import { VirtualTime } from "../../src/lab/virtual-time.ts";
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

/** A sink in time that passes when the test says so. */
function inTime() {
  const written: string[] = [];
  const time = new VirtualTime();
  const output = { write: (text: string) => written.push(text), flush: () => 0 };
  const clock = { after: time.after, soon: (act: () => void) => void time.after(0, act) };
  return { written, time, sink: new LineSink({ output, mostWaiting: 100, clock }) };
}

/** Lines are written in the turn they come in, and wait for others for a turn. */
const atOnce = {
  soon: (act: () => void) => act(),
  after(_ms: number, act: () => void) {
    const immediate = setImmediate(act);
    return () => clearImmediate(immediate);
  },
};

test("lines of one turn are written together, and those that follow wait for each other; none waits after a pause", () => {
  const { written, time, sink } = inTime();
  sink.write("a\n");
  sink.write("b\n");
  expect(written).toEqual([]);
  time.advance(0);
  expect(written).toEqual(["a\nb\n"]);
  for (const line of ["c\n", "d\n", "e\n"]) {
    time.advance(5);
    sink.write(line);
  }
  time.advance(4);
  expect(written).toHaveLength(1);
  time.advance(1);
  expect(written.slice(1)).toEqual(["c\nd\ne\n"]);
  time.advance(20);
  sink.write("f\n");
  time.advance(0);
  expect(written.slice(2)).toEqual(["f\n"]);
});

test("what waits for others is written when all has to be", async () => {
  const { written, time, sink } = inTime();
  sink.write("a\n");
  time.advance(0);
  sink.write("b\n");
  await sink.flush();
  expect(written).toEqual(["a\n", "b\n"]);
});

test("a slow reader costs the lines for which there is no room, and they are counted", async () => {
  const reader = slowReader();
  const sink = new LineSink({ output: reader.output, mostWaiting: 8, clock: atOnce });
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

test("how many lines are lost stands behind those before them, and after a full disk once some can be written", async () => {
  const reader = slowReader();
  const gap = (lines: number) => `${lines} lost\n`;
  const sink = new LineSink({ output: reader.output, mostWaiting: 8, clock: atOnce, gap });
  const turn = () => new Promise((resume) => setImmediate(resume));
  for (const line of ["first\n", "waits\n", "too much\n", "of it\n"]) sink.write(line);
  reader.read();
  await turn();
  expect(reader.written).toEqual(["first\n", "waits\n2 lost\n"]);
  reader.leave();
  await turn();
  sink.write("back\n");
  reader.read();
  await turn();
  sink.write("goes on\n");
  expect(reader.written.slice(2)).toEqual(["back\n", "goes on\n2 lost\n"]);
  expect(sink.lost).toBe(4);
});

test("whoever waits for all of it waits for what a slow reader has yet to take", async () => {
  const reader = slowReader();
  const sink = new LineSink({ output: reader.output, mostWaiting: 100, clock: atOnce });
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
  const sink = new LineSink({ output: reader.output, mostWaiting: 100, clock: atOnce });
  sink.write("lost\n");
  reader.leave();
  await new Promise((resume) => setImmediate(resume));
  expect(sink.lost).toBe(1);
  sink.write("goes on\n");
  expect(reader.written.at(-1)).toBe("goes on\n");
});

test("while a reader stands still nothing wakes for what waits, which is written once it goes on", async () => {
  const reader = slowReader();
  const time = new VirtualTime();
  const clock = { after: time.after, soon: (act: () => void) => void time.after(0, act) };
  const sink = new LineSink({ output: reader.output, mostWaiting: 100, clock });
  sink.write("first\n");
  time.advance(0);
  sink.write("waits\n");
  time.advance(20);
  expect([reader.written, time.pending]).toEqual([["first\n"], 0]);
  reader.read();
  await new Promise((resume) => setImmediate(resume));
  expect(reader.written).toEqual(["first\n", "waits\n"]);
});

test("so many whole lines are written at once as a pipe takes whole, and a longer one alone", () => {
  const written: string[] = [];
  const output = { write: (text: string) => written.push(text), flush: () => 0 };
  const sink = new LineSink({ output, mostWaiting: 100_000, clock: atOnce });
  const line = (bytes: number) => `${"x".repeat(bytes - 1)}\n`;
  const lines = [96, 4_000, 97, 4_000, 5_000, 1].map(line);
  sink.write(lines.join(""));
  expect(written.map(({ length }) => length)).toEqual([4_096, 97, 4_000, 5_000, 1]);
  expect(written.join("")).toBe(lines.join(""));
});
