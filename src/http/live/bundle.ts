import { join } from "node:path";

/**
 * The scripts of the live page in one. Runs when this program is bundled, as a macro, or when it runs
 * from its source and somebody asks for the page: the executable carries the outcome alone.
 * @throws Error with what the bundler says.
 */
export function bundle(): string {
  const entry = join(import.meta.dir, "../../page/main.tsx");
  const { stdout, stderr, exitCode } = Bun.spawnSync([
    // A bundler inside of one that runs would wait for it for ever; this one is another process.
    ...[process.execPath, "build", entry],
    ...["--target=browser", "--format=iife", "--production"],
  ]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout.toString();
}
