/** Signals to a supervisor whose workers come up just now. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { MAIN } from "../commands/program.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const folder = mkdtempSync(join(tmpdir(), "lmproxy-start-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A supervisor of one worker that waits for `open`. */
async function startSlowly(name: string) {
  const gate = join(folder, `${name}.gate`);
  const executable = join(folder, `${name}.ts`);
  writeFileSync(
    executable,
    `import { existsSync } from "node:fs";
    while (process.argv.includes("worker") && !existsSync(${JSON.stringify(gate)})) await Bun.sleep(10);
    await import(${JSON.stringify(MAIN)});`,
  );
  const log = join(folder, `${name}.log`);
  const flags = ["--host", "127.0.0.1", "--port", "0", "--workers", "1"];
  const child = Bun.spawn([process.execPath, executable, "serve", ...flags], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(log),
  });
  const pids = () => `${Bun.spawnSync(["pgrep", "-P", `${child.pid}`]).stdout}`.trim();
  await until("its worker comes up", () => pids() !== "");
  return {
    child,
    worker: Number(pids()),
    open: () => writeFileSync(gate, ""),
    log: () => readFileSync(log, "utf8"),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

test("what they ask for is done when it serves", async () => {
  await using proxy = await startSlowly("later");
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) proxy.child.kill(signal);
  proxy.open();
  await until("its worker is replaced", () => proxy.log().includes('"msg":"upgraded"'));
  expect(proxy.log()).toContain('"msg":"configuration reloaded"');
  expect(proxy.log()).toContain("SIGUSR1 does nothing");
  proxy.child.kill("SIGTERM");
  expect(await proxy.child.exited).toBe(0);
});

test("one that ends it leaves no process, and nothing in memory", async () => {
  await using proxy = await startSlowly("never");
  const maps = readFileSync(`/proc/${proxy.child.pid}/maps`, "utf8");
  const table = /\S+\/lmproxy-\w+\/table$/m.exec(maps)?.[0] ?? "";
  expect(existsSync(table)).toBe(true);
  proxy.child.kill("SIGTERM");
  await proxy.child.exited;
  expect(proxy.child.signalCode).toBe("SIGTERM");
  expect(existsSync(dirname(table))).toBe(false);
  proxy.open();
  await until("its worker has ended", () => !existsSync(`/proc/${proxy.worker}`));
});
