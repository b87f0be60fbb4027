/** A process that is stopped or killed while it holds a lock: nothing is lost, and nobody waits for it. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lock } from "../../src/cluster/lock.ts";
import { SESSION_BYTES, SessionTable } from "../../src/cluster/session-table.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const folder = mkdtempSync(join(tmpdir(), "lmproxy-lock-"));
const children: Bun.Subprocess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

/** Zero at first, and shared. */
function memory(name: string, bytes: number) {
  const path = join(folder, name);
  writeFileSync(path, new Uint8Array(bytes));
  return { path, bytes: Bun.mmap(path, { shared: true }) };
}

function start(program: string, ...argv: readonly string[]): Bun.Subprocess {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, program), ...argv]);
  children.push(child);
  return child;
}

function isStopped({ pid }: Bun.Subprocess): boolean {
  return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.startsWith("T") === true;
}

function cellsOf({ buffer, byteOffset }: Uint8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, 2);
}

test.skipIf(process.platform !== "linux")(
  "who is stopped while it holds a lock still has it when it goes on; others give up meanwhile",
  async () => {
    const { path, bytes } = memory("stopped", 8);
    const cells = cellsOf(bytes);
    const holder = start("holder.ts", path, "1");
    await until("it stands still", () => isStopped(holder));
    const lock = new Lock(cells, 0);
    const add = () => {
      cells[1] = (cells[1] ?? 0) + 1;
    };
    let added = 0;
    for (let time = 0; time < 10; time += 1) if (lock.held(2, add)) added += 1;
    holder.kill("SIGCONT");
    await holder.exited;
    expect(cells[1]).toBe(added + 1);
    // It is free again, and whoever gave up has it as anybody.
    expect(lock.held(2, add)).toBe(true);
    expect(cells[1]).toBe(added + 2);
  },
);

test.skipIf(process.platform !== "linux")(
  "who is killed while it holds a lock has it until its end is told of",
  async () => {
    const { path, bytes } = memory("killed", 8);
    const cells = cellsOf(bytes);
    const holder = start("holder.ts", path, "1");
    await until("it stands still", () => isStopped(holder));
    const lock = new Lock(cells, 0);
    lock.free(2);
    expect(lock.held(2, () => {})).toBe(false);
    holder.kill("SIGKILL");
    await holder.exited;
    lock.free(1);
    expect(lock.held(2, () => {})).toBe(true);
  },
);

const IDS = Array.from({ length: 40 }, (_, at) => at * 2 ** 20);

/** Whether each node has as many sessions as are found on it. */
function expectExact(table: SessionTable): void {
  const homes = IDS.map((id) => table.find({ id, model: 1 }, "Hybrid"));
  const found = [0, 1, 2, 3].map((slot) => homes.filter((home) => home === slot).length);
  expect([0, 1, 2, 3].map((slot) => table.on(slot))).toEqual(found);
}

test.skipIf(process.platform !== "linux")(
  "sessions stay exactly counted while workers are stopped or killed in the middle of writing one down",
  async () => {
    const { path, bytes } = memory("sessions", SESSION_BYTES + 4);
    const end = new Int32Array(bytes.buffer, bytes.byteOffset + SESSION_BYTES, 1);
    const options = { wallMs: Date.now, idleMs: 7_200_000 };
    const [control, mine] = [0, 2].map((row) => new SessionTable(bytes, { ...options, row }));
    if (control === undefined || mine === undefined) throw new Error("there are two");
    const cells = cellsOf(bytes);
    for (let round = 0; round < 8; round += 1) {
      const other = start("putter.ts", path, "1", JSON.stringify(IDS));
      await until("it stands still in the middle", async () => {
        other.kill("SIGCONT");
        await until("it has written some", () => mine.size > 0);
        other.kill("SIGSTOP");
        await until("it stands still", () => isStopped(other));
        return cells[0] !== 0;
      });
      for (let at = 0; at < 200; at += 1) {
        mine.put({ id: IDS[(at * 3) % IDS.length] ?? 0, model: 1 }, "Hybrid", at % 4);
      }
      mine.finish(IDS[round] ?? 0);
      if (round % 2 === 0) {
        other.kill("SIGCONT");
        Atomics.store(end, 0, 1);
        await other.exited;
        Atomics.store(end, 0, 0);
      } else {
        other.kill("SIGKILL");
        await other.exited;
        control.left(1);
      }
      expectExact(mine);
      // Nobody stands still any more: what is written down is found.
      mine.put({ id: IDS[7] ?? 0, model: 1 }, "Hybrid", round % 4);
      expect(mine.find({ id: IDS[7] ?? 0, model: 1 }, "Hybrid")).toBe(round % 4);
      expectExact(mine);
    }
  },
);
