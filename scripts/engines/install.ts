/** Engines from pinned packages, each kind in an environment of its own that is made once. */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const HERE = import.meta.dir;
/** vLLM's packages are 6 GB. */
const INSTALL_LIMIT_MS = 1_200_000;

export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "lmproxy-engines");
}

/** Path of one of this folder's Python programs. */
export function program(name: string): string {
  return join(HERE, "python", name);
}

/**
 * Makes the environment of a kind, if it is not there, with exactly the packages that
 * requirements/KIND.txt names, and runs `finish` in it.
 *
 * @returns its folder
 * @throws Error with the last line that pip or Python said
 */
export async function install(
  cache: string,
  kind: string,
  finish: (folder: string) => readonly string[] | null,
): Promise<string> {
  const requirements = join(HERE, "requirements", `${kind}.txt`);
  const wanted = await Bun.file(requirements).text();
  const folder = join(cache, `${kind}-${Bun.hash(wanted).toString(36)}`);
  const done = join(folder, "installed");
  if (existsSync(done)) return folder;
  console.error(`installing ${kind} into ${folder}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  await run(["python3", "-m", "venv", folder]);
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"];
  await run([join(folder, "bin/python"), ...pip, "--no-deps", "-r", requirements]);
  const last = finish(folder);
  if (last !== null) await run([join(folder, "bin/python"), ...last]);
  await Bun.write(done, wanted);
  return folder;
}

/** @throws Error with the last line that it said */
export async function run(command: readonly string[]): Promise<void> {
  const child = Bun.spawn(["nice", "-n", "19", ...command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: INSTALL_LIMIT_MS,
  });
  const said = await child.stderr.text();
  if ((await child.exited) === 0) return;
  throw new Error(
    `${command.slice(0, 4).join(" ")}: ${said.trim().split("\n").at(-1) ?? "failed"}`,
  );
}
