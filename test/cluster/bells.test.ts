/** One process has another look: over a real file that both have mapped, by a real signal. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bells, bellBytes, NEVER } from "../../src/cluster/bells.ts";
import { until } from "../support/until.ts";

const ROWS = 3;
const folder = mkdtempSync(join(tmpdir(), "lmproxy-bells-"));
afterAll(() => rmSync(folder, { recursive: true }));

function startHearer(how: "hears" | "deaf") {
  const path = join(folder, how);
  writeFileSync(path, "");
  truncateSync(path, bellBytes(ROWS));
  const bells = new Bells(Bun.mmap(path, { shared: true }), ROWS);
  const command = [process.execPath, join(import.meta.dir, "hearer.ts"), path, `${ROWS}`, how];
  const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const said: string[] = [];
  void (async () => {
    const decoder = new TextDecoder();
    for await (const piece of child.stdout) said.push(...decoder.decode(piece).trim().split("\n"));
  })();
  const end = async () => {
    await child.stdin.end();
    return await child.exited;
  };
  return { bells, child, said, end };
}

test("a process hears its bell, and no more once its row is cleared", async () => {
  const { bells, child, said, end } = startHearer("hears");
  await until("it hangs", () => said.includes("hangs"));
  bells.ring(1);
  await until("it has heard", () => said.includes("heard"));
  const before = said.filter((word) => word === "heard").length;
  bells.clear(1);
  expect(bells.wishOf(1)).toBe(NEVER);
  bells.ring(1);
  bells.ringAll();
  // A signal would come before this.
  child.stdin.write("?");
  await until("it answers", () => said.includes("lives"));
  expect(said.filter((word) => word === "heard").length).toBe(before);
  expect(await end()).toBe(0);
});

test("who has never looked, as a worker of a version before, is not taken for silent, nor is who has a row after one that was", () => {
  const bells = new Bells(new Uint8Array(bellBytes(ROWS)), ROWS, () => {});
  expect(bells.isSilent(1, 5_000)).toBe(false);
  bells.looked(1, 1_000);
  expect([bells.isSilent(1, 1_500), bells.isSilent(1, 5_000)]).toEqual([false, true]);
  bells.clear(1);
  expect(bells.isSilent(1, 5_000)).toBe(false);
});

test("who is stopped is taken for silent also where the clock was put back meanwhile, and who looks again is not", () => {
  const bells = new Bells(new Uint8Array(bellBytes(ROWS)), ROWS, () => {});
  bells.looked(1, 100_000);
  expect(bells.isSilent(1, 50_000)).toBe(true);
  bells.looked(1, 50_000);
  expect(bells.isSilent(1, 50_500)).toBe(false);
});

test("a program that has not asked for the signal, as one that has the number of a dead worker, goes on", async () => {
  const { bells, child, said, end } = startHearer("deaf");
  await until("it hangs", () => said.includes("hangs"));
  bells.ring(1);
  bells.ringAll();
  child.stdin.write("?");
  await until("it answers", () => said.includes("lives"));
  expect(await end()).toBe(0);
  // Nor does it harm who rings that it has gone.
  bells.ring(1);
});
