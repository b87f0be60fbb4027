/** Workers write their lines to one standard error: a pipe, under Docker and in shells. */
import { expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const WRITER = `
import { LineSink } from ${JSON.stringify(join(import.meta.dir, "../../src/observe/line-sink.ts"))};
import { realClock } from ${JSON.stringify(join(import.meta.dir, "../support/clock.ts"))};
const [letter, filler] = process.argv.slice(-2);
const output = Bun.stderr.writer();
const sink = new LineSink({ output, mostWaiting: 1_000_000, clock: realClock });
for (let nth = 0; nth < 500; nth += 1) sink.write(\`<\${letter}\${filler.repeat(nth)}>\\n\`);
const flushed = sink.flush();
console.log("waits");
await flushed;
`;

test.each(["-", "é", "語"])(
  "no line stands in the middle of another worker's, also when their reader is slow (%s)",
  async (filler) => {
    const directory = mkdtempSync(join(tmpdir(), "lmproxy-lines-"));
    const pipe = join(directory, "pipe");
    Bun.spawnSync(["mkfifo", pipe]);
    // They can open it, and fill it, before anybody reads.
    const held = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    const writers = ["a", "b", "c"].map((letter) =>
      Bun.spawn(
        [
          "sh",
          "-c",
          'exec "$0" -e "$1" "$3" "$4" 2>>"$2"',
          process.execPath,
          WRITER,
          pipe,
          letter,
          filler,
        ],
        { stdout: "pipe" },
      ),
    );
    for (const { stdout } of writers) {
      const reader = stdout.getReader();
      await reader.read();
      reader.releaseLock();
    }
    const reading = Bun.spawn(["cat", pipe], { stdout: "pipe" });
    const text = reading.stdout.text();
    for (const { exited } of writers) expect(await exited).toBe(0);
    closeSync(held);
    const lines = (await text).split("\n").slice(0, -1);
    const expected = ["a", "b", "c"].flatMap((letter) =>
      Array.from({ length: 500 }, (_, nth) => `<${letter}${filler.repeat(nth)}>`),
    );
    expect(lines.toSorted()).toEqual(expected.toSorted());
    rmSync(directory, { recursive: true });
  },
);
