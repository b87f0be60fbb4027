/** The laboratory as a process, and in several. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAIN, Program, run, runForOneByte } from "../commands/program.ts";
import { temporaryFolder } from "../state/entries.ts";
import { kill } from "../support/kill.ts";
import { until } from "../support/until.ts";

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

/** A cluster of so many nodes. */
function clusterOf(nodes: number): string {
  const path = join(folder.path, "cluster.json");
  writeFileSync(path, JSON.stringify({ speeds: Array(nodes).fill(1) }));
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

test.concurrent("nothing is computed for a reader who has left", async () => {
  const argv = ["--trace", traceOf(1_000), "--seeds", "1000", "--jobs", "1", "--json"];
  expect(await runForOneByte(["lab", ...argv])).toBe("0\n");
});

test.concurrent.each([
  ["--trace", () => traceOf(6), { requests: 6 }],
  ["--cluster", () => clusterOf(3), { nodes: 3 }],
] as const)(
  "%s may be a file that is standard input, whoever would share the work",
  async (flag, file, row) => {
    const flags = ["--trace", traceOf(2), "--strategies", "random,llm_d", "--seeds", "1", "--json"];
    const argv = [...flags, "--jobs", "2", flag, "/dev/stdin"];
    const lab = Bun.spawn([process.execPath, MAIN, "lab", ...argv], {
      stdin: Bun.file(file()),
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([lab.stdout.text(), lab.stderr.text()]);
    expect(err).toBe("");
    const rows: readonly object[] = JSON.parse(out);
    expect(rows.slice(-2)).toMatchObject([row, row]);
  },
);

test.concurrent("a signal ends them all, also where only the first gets it", async () => {
  await using program = new Program(["lab", "--seeds", "1000", "--jobs", "2"]);
  const children = await until("both are at work", () => {
    const { stdout } = Bun.spawnSync(["pgrep", "-P", `${program.pid}`]);
    const pids = `${stdout}`.trim().split("\n").filter(Boolean);
    return pids.length === 2 && pids;
  });
  try {
    program.kill("SIGTERM");
    expect(await program.finished()).toEqual({ out: "", err: "", code: 143 });
    await until("nobody is left", () => children.every((pid) => !isAlive(pid)));
  } finally {
    for (const pid of children.filter(isAlive)) kill(pid, "SIGKILL");
  }
});

function isAlive(pid: string): boolean {
  const { stdout } = Bun.spawnSync(["ps", "-o", "stat=", "-p", pid]);
  return /^[^Z\s]/.test(`${stdout}`);
}

/** All that a terminal is sent. */
async function onTerminal(...argv: string[]): Promise<string> {
  const decoder = new TextDecoder();
  const { promise: closed, resolve: exit } = Promise.withResolvers<void>();
  let text = "";
  const data = (_: unknown, piece: Uint8Array) => {
    text += decoder.decode(piece, { stream: true });
  };
  const terminal = { data, exit: () => exit() };
  Bun.spawn([process.execPath, MAIN, "lab", "--seeds", "1", ...argv], { terminal });
  // Not with the process: what it wrote may be on its way.
  await closed;
  return text;
}

test.concurrent.each(["1", "2"])(
  "with %s jobs, what is wrong has a line of its own on a terminal",
  async (jobs) => {
    const text = await onTerminal("--trace", traceOf(2), join(folder.path, "none"), "--jobs", jobs);
    expect(text).toContain("reading 2.csv, 100 %");
    expect(text).toContain("\r\u001b[Klmproxy: --trace ");
  },
);

test.concurrent("rows that come one by one to a terminal are not written over", async () => {
  const argv = ["--trace", traceOf(2), "--strategies", "random,llm_d", "--json"];
  expect(await onTerminal(...argv, "--jobs", "1")).not.toContain("\u001b[K");
  expect(await onTerminal(...argv, "--jobs", "2")).toContain("of 2 runs");
});
