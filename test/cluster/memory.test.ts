/** Where the memory of all is. */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { foldersFor, shareMemory } from "../../src/cluster/memory.ts";
import { until } from "../support/until.ts";

test("is in memory where there is room for all of it", () => {
  const free = (bytes: number) => (folder: string) => (folder === "/dev/shm" ? bytes : 0);
  const both = (folder: string) => (folder === "/dev/shm" ? 2 ** 26 : Number.POSITIVE_INFINITY);
  expect(foldersFor(2 ** 26, both)).toEqual(["/dev/shm", tmpdir()]);
  expect(foldersFor(2 ** 26 + 1, both)).toEqual([tmpdir()]);
  expect(foldersFor(2 ** 26, free(2 ** 26))).toEqual(["/dev/shm"]);
  expect(foldersFor(2 ** 26, free(2 ** 26 - 1))).toEqual([]);
});

test("is refused where nobody has room, with how much is needed and where", () => {
  expect(() => shareMemory({ rows: 2 ** 27, clients: 0 })).toThrow(
    / MiB are needed .*\/dev\/shm.*TMPDIR/,
  );
});

test("has all of its room from the start: a folder that others fill later ends no process that writes to it", () => {
  const memory = shareMemory({ rows: 8, clients: 16 });
  try {
    const { size, blocks } = statSync(memory.path);
    expect(blocks * 512).toBeGreaterThanOrEqual(size);
  } finally {
    memory.remove();
  }
});

test("goes with a process that ends before anybody else has it", async () => {
  const memory = join(import.meta.dir, "../../src/cluster/memory.ts");
  const program = `import { shareMemory } from "${memory}";
    console.log(shareMemory({ rows: 2, clients: 0 }).path);
    throw new Error("a flag is wrong");`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "ignore" });
  const path = (await child.stdout.text()).trim();
  expect(await child.exited).toBe(1);
  expect(path).toContain("lmproxy-");
  expect(existsSync(path)).toBe(false);
});

test("what processes left that were killed goes with the next start, and what others have stays", async () => {
  const memory = join(import.meta.dir, "../../src/cluster/memory.ts");
  const program = `import { shareMemory } from "${memory}";
    console.log(shareMemory({ rows: 2, clients: 0 }).path);
    setInterval(() => {}, 60_000);`;
  const start = async () => {
    const child = Bun.spawn([process.execPath, "-e", program], {
      stdout: "pipe",
      stderr: "ignore",
    });
    const { value } = await child.stdout.getReader().read();
    const folder = dirname(new TextDecoder().decode(value).trim());
    const end = async () => {
      child.kill("SIGKILL");
      await child.exited;
    };
    return { folder, end };
  };
  const started = [await start(), await start()];
  try {
    const [killed, lives] = started;
    await killed?.end();
    const own = shareMemory({ rows: 2, clients: 0 });
    const next = await start();
    started.push(next);
    const folders = [killed?.folder, lives?.folder, dirname(own.path), next.folder];
    expect(folders.map((folder) => existsSync(folder ?? ""))).toEqual([false, true, true, true]);
    own.remove();
    expect(existsSync(dirname(own.path))).toBe(false);
  } finally {
    for (const { folder, end } of started) {
      await end();
      rmSync(folder, { recursive: true, force: true });
    }
  }
});

test("leaves nothing where a file cannot be so large, and says that it must be written", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-memory-"));
  try {
    const memory = join(import.meta.dir, "../../src/cluster/memory.ts");
    // Who asks for more than the limit gets a signal, and an error where that is ignored. Those of others do not stay empty.
    const program = `import { shareMemory } from "${memory}";
      import { readdirSync } from "node:fs";
      const of = (folder) => readdirSync(folder).map((name) => folder + "/" + name);
      const all = () => ["/dev/shm", process.env.TMPDIR].flatMap(of);
      const before = new Set(all());
      try {
        shareMemory({ rows: 2, clients: 0 });
      } catch ({ name, message }) {
        console.log(JSON.stringify([name, message, all().filter((path) => !before.has(path))]));
      }`;
    const child = Bun.spawn(
      ["bash", "-c", `trap "" XFSZ; ulimit -f 1; exec "$0" -e "$1"`, process.execPath, program],
      { stdout: "pipe", stderr: "inherit", env: { ...process.env, TMPDIR: folder } },
    );
    const [name, message, left]: [string, string, string[]] = JSON.parse(await child.stdout.text());
    expect(name).toBe("WorkersError");
    const isEmpty = (path: string) => {
      const size = statSync(join(path, "table"), { throwIfNoEntry: false })?.size ?? 0;
      return existsSync(path) && size === 0;
    };
    await until("nothing empty is left", () => !left.some(isEmpty));
    expect(message).toMatch(/MiB are needed that can be written.*EFBIG/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
