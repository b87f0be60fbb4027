/** Holds a lock, is stopped in the middle of adding one to a number, goes on when it is let, and says what it did. */
import { Lock } from "../../src/cluster/lock.ts";

const [path = "", row = ""] = process.argv.slice(2);
const { buffer, byteOffset } = Bun.mmap(path, { shared: true });
const cells = new Int32Array(buffer, byteOffset, 2);

new Lock(cells, 0).held(Number(row), () => {
  const seen = cells[1] ?? 0;
  process.kill(process.pid, "SIGSTOP");
  cells[1] = seen + 1;
});
