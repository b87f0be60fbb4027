/** The soak, for some seconds: every phase of it, with all counts in order. */
import { expect, test } from "bun:test";

test("a short soak ends with its table, and every count is as it must be", async () => {
  const soak = Bun.spawn(
    [process.execPath, "scripts/soaking/main.ts", "--minutes", "0.1", "--seed", "7"],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [table, progress] = await Promise.all([
    new Response(soak.stdout).text(),
    new Response(soak.stderr).text(),
  ]);
  expect({ status: await soak.exited, table, progress }).toMatchObject({ status: 0 });
  expect(table).toMatch(/^scripts\/soak --minutes 0\.1 --seed 7\n/);
  for (const figure of [
    "lost without a first byte, 1 of 4 killed",
    "cut streams that look complete",
    "departures cancelled at the engine",
    "attempts at the engines, all of them: 500",
    "counters left",
    "requests in /metrics",
    "memory growth",
    "requests sent",
    "completed",
    "failed before the first byte",
    "broken in the stream, visibly",
  ]) {
    expect(table).toMatch(new RegExp(`^ *${figure} +\\S`, "m"));
  }
}, 120_000);
