import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join, relative } from "node:path";
import { openStateFile, StateFileError } from "../../src/state/file.ts";
import { temporaryFolder, warnings } from "./entries.ts";
import { spawnChild } from "./spawn.ts";

async function spawnHolder(path: string) {
  const holder = spawnChild("hold", path);
  expect([await holder.nextLine(), await holder.nextLine()]).toEqual(["refused inside", "held"]);
  return holder;
}

test("a second proxy is refused in one line; the lock ends with kill -9", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  const holder = await spawnHolder(path);
  const second = spawnChild("hold", path);
  const advice =
    "is in use by another lmproxy; give this one its own --state, or take its place with --takeover";
  expect(await second.rest()).toEqual([`refused: ${path} ${advice}`]);
  expect(await second.exited).toBe(3);
  await holder.kill();
  expect(readdirSync(folder.path).sort()).toEqual(["nodes.json", "nodes.json.lock"]);
  await using third = await spawnHolder(path);
  expect(third).toBeDefined();
});

test("all spellings of one file are one file", async () => {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, "real"));
  symlinkSync("real", join(folder.path, "folder-link"));
  symlinkSync("folder-link/nodes.json", join(folder.path, "link.json"));
  symlinkSync(join(folder.path, "link.json"), join(folder.path, "link-to-link.json"));
  // The file itself does not exist when the first comes through the links.
  await using holder = await spawnHolder(join(folder.path, "link-to-link.json"));
  expect(holder).toBeDefined();
  const real = join(folder.path, "real", "nodes.json");
  const spellings = [
    real,
    relative(process.cwd(), real),
    join(folder.path, "link.json"),
    `${folder.path}/folder-link/../real//nodes.json`,
  ];
  for (const spelling of spellings) {
    expect(() => openStateFile(spelling, warnings())).toThrow(StateFileError);
  }
});

test("of several that start together, one gets the file", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  const children = Array.from({ length: 4 }, () => spawnChild("hold", path));
  try {
    const first = await Promise.all(children.map((child) => child.nextLine()));
    expect(first.filter((line) => line === "refused inside")).toHaveLength(1);
    expect(first.filter((line) => line?.startsWith("refused: "))).toHaveLength(3);
  } finally {
    await Promise.all(children.map((child) => child.kill()));
  }
});

test("closing lets the next one in", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  const file = openStateFile(path, warnings());
  expect(() => openStateFile(path, warnings())).toThrow(StateFileError);
  await file.close();
  await openStateFile(path, warnings()).close();
});
