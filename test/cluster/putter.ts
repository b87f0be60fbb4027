/** Moves sessions of one bucket about, again and again, until the number behind the table is not 0. */
import { SESSION_BYTES, SessionTable } from "../../src/cluster/session-table.ts";

const [path = "", row = "", ids = ""] = process.argv.slice(2);
const bytes = Bun.mmap(path, { shared: true });
const table = new SessionTable(bytes, {
  row: Number(row),
  wallMs: Date.now,
  idleMs: 7_200_000,
});
const end = new Int32Array(bytes.buffer, bytes.byteOffset + SESSION_BYTES, 1);
const sessions = JSON.parse(ids).map((id: number) => ({ id, model: 1 }));

for (let at = 0; Atomics.load(end, 0) === 0; at += 1) {
  table.put(sessions[at % sessions.length], "Hybrid", (at * 7) % 4);
}
