import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseState } from "../../src/state/format.ts";
import { churnedEntries, temporaryFolder } from "./entries.ts";
import { spawnChild, spawnChildOnFullDisk } from "./spawn.ts";

const KILLS = 15;

function entriesIn(path: string) {
  const parsed = parseState(readFileSync(path));
  if (parsed.kind === "damaged") throw new Error(`damaged: ${parsed.reason}`);
  return parsed.entries;
}

test("kill -9 at any moment leaves a whole state, no older than the last one saved", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  for (let round = 0; round < KILLS; round += 1) {
    await using child = spawnChild("churn", path);
    // How far it is in the next save when the signal comes is the machine's draw.
    let saved = 0;
    while (saved <= (round * 7) % 6) saved = Number(await child.nextLine());
    await child.kill();
    const entries = entriesIn(path);
    const step = entries[0]?.speed ?? 0;
    expect(step).toBeGreaterThanOrEqual(saved);
    expect(entries).toEqual(churnedEntries(step));
  }
  const left = readdirSync(folder.path).filter((name) => name !== "nodes.json.tmp");
  expect(left.sort()).toEqual(["nodes.json", "nodes.json.lock"]);
}, 120_000);

test("a full disk is one warning, and the old state stays until there is room again", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  await using full = spawnChildOnFullDisk(8, "save", path, "2", "2000", "2001");
  expect(await full.rest()).toEqual([
    "asked for 2",
    "warning: nodes cannot be saved; tried again every 10 s",
    "asked for 2000",
    "asked for 2001",
  ]);
  expect(await full.exited).toBe(0);
  expect(entriesIn(path)).toHaveLength(2);
  await using recovering = spawnChildOnFullDisk(8, "save", path, "2000", "3");
  expect(await recovering.rest()).toEqual([
    "warning: nodes cannot be saved; tried again every 10 s",
    "asked for 2000",
    "warning: nodes are saved again",
    "asked for 3",
  ]);
  expect(entriesIn(path)).toHaveLength(3);
  expect(readdirSync(folder.path).sort()).toEqual(["nodes.json", "nodes.json.lock"]);
});
