import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { openStateFile, StateFileError } from "../../src/state/file.ts";
import { parseState, type StateEntry } from "../../src/state/format.ts";
import { entry, temporaryFolder, warnings } from "./entries.ts";

/** Opens `path`, saves `entries`, closes. */
async function saveTo(path: string, entries: readonly StateEntry[], log = warnings()) {
  const file = openStateFile(path, log);
  file.save(() => entries);
  await file.close();
  return log.lines;
}

async function loadFrom(path: string): Promise<readonly StateEntry[]> {
  const log = warnings();
  const file = openStateFile(path, log);
  await file.close();
  expect(log.lines).toEqual([]);
  return file.loaded;
}

const modeOf = (path: string) => statSync(path).mode & 0o777;

describe("saving", () => {
  test("what is saved is loaded, by its owner only", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "new", "deeper", "nodes.json");
    expect(await saveTo(path, [entry(1), entry(2, { speed: 2 })])).toEqual([]);
    expect(await loadFrom(path)).toEqual([entry(1), entry(2, { speed: 2 })]);
    expect(modeOf(join(folder.path, "new"))).toBe(0o700);
    expect([modeOf(path), modeOf(`${path}.lock`)]).toEqual([0o600, 0o600]);
  });

  test("a burst of changes is drawn once, and a change during a write is not lost", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "nodes.json");
    const file = openStateFile(path, warnings());
    let drawn = 0;
    for (let n = 0; n < 1_000; n += 1) {
      file.save(() => {
        drawn += 1;
        return [entry(1)];
      });
    }
    await file.flush();
    expect(drawn).toBe(1);
    file.save(() => {
      file.save(() => [entry(3)]);
      return [entry(2)];
    });
    await file.close();
    expect(await loadFrom(path)).toEqual([entry(3)]);
  });

  test("a link stays a link", async () => {
    using folder = temporaryFolder();
    const link = join(folder.path, "link.json");
    symlinkSync("nodes.json", link);
    await saveTo(link, [entry(1)]);
    expect(readlinkSync(link)).toBe("nodes.json");
    expect(await loadFrom(join(folder.path, "nodes.json"))).toEqual([entry(1)]);
  });

  test("what a killed process left half written is in nobody's way", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "nodes.json");
    writeFileSync(`${path}.tmp`, "{");
    await saveTo(path, [entry(1)]);
    expect(readdirSync(folder.path).sort()).toEqual(["nodes.json", "nodes.json.lock"]);
  });
});

test("LMDeploy's file stays LMDeploy's", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "anything.json");
  const status = JSON.stringify({
    role: 1,
    models: ["m"],
    unfinished: 0,
    latency: [],
    speed: null,
  });
  writeFileSync(path, JSON.stringify({ "http://10.0.0.7:1": status }));
  const read = entry(1, { models: ["m"] });
  expect(await loadFrom(path)).toEqual([read]);
  await saveTo(path, [read, entry(2)]);
  expect(parseState(readFileSync(path))).toMatchObject({ layout: "lmdeploy" });
  const byName = join(folder.path, "proxy_config.json");
  await saveTo(byName, [entry(1)]);
  expect(parseState(readFileSync(byName))).toMatchObject({ layout: "lmdeploy" });
});

describe("a damaged file", () => {
  test("is set aside whole, with a warning", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "nodes.json");
    writeFileSync(path, '{"version": 1, "nodes": [{"url": "htt');
    const lines = await saveTo(path, [entry(1)]);
    expect(lines).toEqual([
      `state file is damaged; starting without its nodes | ${path} | it is not JSON`,
      `state file set aside | ${path} | ${path}.damaged-1`,
    ]);
    expect(readFileSync(`${path}.damaged-1`, "utf8")).toEndWith('"htt');
    expect(await loadFrom(path)).toEqual([entry(1)]);
  });

  test("is named in the log as other files are", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "nodes.json");
    writeFileSync(path, "{");
    const told: unknown[] = [];
    const file = openStateFile(path, { ...warnings(), warn: (_, details) => told.push(details) });
    await file.close();
    expect(told.at(-1)).toEqual({ file: path, kept_as: `${path}.damaged-1` });
  });

  test("does not fill the disk when it happens again and again", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "nodes.json");
    for (let n = 1; n <= 12; n += 1) {
      writeFileSync(path, `damage ${n}`);
      await openStateFile(path, warnings()).close();
    }
    const kept = readdirSync(folder.path).filter((name) => name.includes("damaged"));
    expect(kept).toHaveLength(9);
    expect(readFileSync(`${path}.damaged-1`, "utf8")).toBe("damage 1");
    expect(readFileSync(`${path}.damaged-9`, "utf8")).toBe("damage 12");
  });

  test("one bad entry costs no other", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "nodes.json");
    const nodes = [
      { url: "nonsense" },
      { url: "http://10.0.0.7:1", models: ["internlm2-chat-7b"] },
    ];
    writeFileSync(path, JSON.stringify({ version: 1, nodes }));
    const log = warnings();
    const file = openStateFile(path, log);
    expect(file.loaded).toEqual([entry(1)]);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toContain("entry of the state file skipped");
    await file.close();
  });
});

describe("a place that cannot be written", () => {
  test("is warned of once, tried at the next change, and never fatal", async () => {
    using folder = temporaryFolder();
    const blocked = join(folder.path, "not-yet-a-folder");
    writeFileSync(blocked, "");
    const log = warnings();
    const file = openStateFile(join(blocked, "nodes.json"), log);
    expect(log.lines.filter((line) => line.includes("cannot be locked"))).toHaveLength(1);
    for (const port of [1, 2, 3]) {
      file.save(() => [entry(port)]);
      await file.flush();
    }
    const failures = log.lines.filter((line) => line.includes("cannot be saved"));
    expect(failures).toHaveLength(1);
    rmSync(blocked);
    file.save(() => [entry(4)]);
    await file.close();
    expect(log.lines.at(-1)).toContain("saved again");
    expect(await loadFrom(join(blocked, "nodes.json"))).toEqual([entry(4)]);
  });

  test("says of a folder that cannot be made why, and not that there is none for the lock", async () => {
    using folder = temporaryFolder();
    const gone = join(folder.path, "not-mounted");
    symlinkSync(join(folder.path, "disk", "lmproxy"), gone);
    const log = warnings();
    const file = openStateFile(join(gone, "nodes.json"), log);
    await file.close();
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toContain("cannot be locked");
    expect(log.lines[0]).toContain(`mkdir '${gone}'`);
  });

  test("is tried again after a pause, though nothing changes: an engine registers but once", async () => {
    using folder = temporaryFolder();
    const blocked = join(folder.path, "not-yet-a-folder");
    writeFileSync(blocked, "");
    const log = warnings();
    const file = openStateFile(join(blocked, "nodes.json"), log);
    file.save(() => [entry(1)]);
    await file.flush();
    for (let pauses = 0; pauses < 3; pauses += 1) {
      expect(log.later).toHaveLength(1);
      log.later.shift()?.();
      await file.flush();
    }
    rmSync(blocked);
    log.later.shift()?.();
    await file.flush();
    expect(log.lines.filter((line) => line.includes("cannot be saved"))).toHaveLength(1);
    expect(log.lines.at(-1)).toContain("saved again");
    expect(parseState(readFileSync(file.path))).toMatchObject({ entries: [entry(1)] });
    expect(log.later).toEqual([]);
    await file.close();
  });

  test("is tried again but once after a pause, however much changed; and no more when it is closed: it is another's", async () => {
    using folder = temporaryFolder();
    const blocked = join(folder.path, "not-yet-a-folder");
    writeFileSync(blocked, "");
    const log = warnings();
    const file = openStateFile(join(blocked, "nodes.json"), log);
    for (const number of [1, 2, 3]) {
      file.save(() => [entry(number)]);
      await file.flush();
    }
    expect(log.later).toHaveLength(1);
    await file.close();
    expect(log.later).toEqual([]);
  });

  test("a change that comes while a write fails is tried at once", async () => {
    using folder = temporaryFolder();
    const blocked = join(folder.path, "not-yet-a-folder");
    writeFileSync(blocked, "");
    const file = openStateFile(join(blocked, "nodes.json"), warnings());
    file.save(() => {
      file.save(() => {
        rmSync(blocked);
        return [entry(2)];
      });
      return [entry(1)];
    });
    await file.flush();
    expect(parseState(readFileSync(file.path))).toMatchObject({ entries: [entry(2)] });
    await file.close();
  });

  test("a change that failed is tried once more at the end", async () => {
    using folder = temporaryFolder();
    const blocked = join(folder.path, "not-yet-a-folder");
    writeFileSync(blocked, "");
    const file = openStateFile(join(blocked, "nodes.json"), warnings());
    file.save(() => [entry(1)]);
    await file.flush();
    rmSync(blocked);
    await file.close();
    expect(await loadFrom(join(blocked, "nodes.json"))).toEqual([entry(1)]);
  });

  test("a read-only file is not replaced, even where its directory would allow it", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "nodes.json");
    await saveTo(path, [entry(1)]);
    chmodSync(path, 0o400);
    const lines = await saveTo(path, [entry(2)]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("read-only");
    expect(await loadFrom(path)).toEqual([entry(1)]);
  });

  test("a file that is too large to be ours is kept", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "nodes.json");
    const size = 64 * 1024 * 1024 + 1;
    writeFileSync(path, new Uint8Array(size));
    const lines = await saveTo(path, [entry(1)]);
    expect(lines.map((line) => line.split(" | ")[0])).toEqual([
      "state file cannot be read; starting without its nodes",
      "state file set aside",
    ]);
    expect(statSync(`${path}.damaged-1`).size).toBe(size);
    expect(await loadFrom(path)).toEqual([entry(1)]);
  });
});

test("a directory, a pipe or a device is refused, and not touched", () => {
  using folder = temporaryFolder();
  const pipe = join(folder.path, "pipe");
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  const directory = join(folder.path, "directory");
  mkdirSync(directory);
  for (const path of [pipe, directory, "/dev/null"]) {
    expect(() => openStateFile(path, warnings())).toThrow(StateFileError);
  }
  expect(readdirSync(folder.path).sort()).toEqual(["directory", "pipe"]);
  expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
});
