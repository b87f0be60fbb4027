/** The laboratory in several processes. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../commands/program.ts";
import { temporaryFolder } from "../state/entries.ts";

setDefaultTimeout(60_000);

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

/** A trace of so many requests. */
function traceOf(requests: number): string {
  const path = join(folder.path, `${requests}.csv`);
  const lines = Array.from({ length: requests }, (_, i) => `${i},${100 + i},10`);
  writeFileSync(path, ["TIMESTAMP,ContextTokens,GeneratedTokens", ...lines].join("\n"));
  return path;
}

async function rowsOf(...argv: string[]): Promise<object[]> {
  const { out, err, code } = await run(["lab", "--json", ...argv]);
  expect([code, err]).toEqual([0, ""]);
  return JSON.parse(out).map((row: object) => ({ ...row, decision_us: 0 }));
}

test.concurrent("strategies may be named in words of their own", async () => {
  const argv = ["--trace", traceOf(3), "--seeds", "1", "--strategies", "random", "round_robin"];
  const [one, two] = await Promise.all([
    rowsOf(...argv, "--jobs", "1"),
    rowsOf(...argv, "--jobs", "2"),
  ]);
  expect(one.length).toBe(2);
  expect(two).toEqual(one);
});

test.concurrent("rows come in the order of one process", async () => {
  const strategies = ["--strategies", "random,llm_d,round_robin", "--seeds", "2"];
  const argv = ["--trace", traceOf(4), traceOf(5), "--cluster", "equal", "unequal", ...strategies];
  const [one, two] = await Promise.all([
    rowsOf(...argv, "--jobs", "1"),
    rowsOf(...argv, "--jobs", "2"),
  ]);
  expect(one.length).toBe(24);
  expect(two).toEqual(one);
});
