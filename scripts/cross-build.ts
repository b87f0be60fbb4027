/**
 * Builds executables for other machines: `bun scripts/cross-build.ts [--outdir DIR] [TARGET…]`, by
 * default all of `TARGETS` into `dist/`.
 *
 * Each takes the Bun of its platform from that platform's npm package, of the version that builds
 * and into `.bun/platforms`: what Bun downloads for `--target` by itself comes from elsewhere.
 * Without bytecode: that made by one machine has crashed on others (oven-sh/bun#24144), and here
 * only this machine's executable can be run.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildExecutable, ROOT } from "./build.ts";

interface CrossTarget {
  readonly bunTarget: Bun.Build.CompileTarget;
  /** The npm package that holds the platform's Bun. */
  readonly platformPackage: string;
}

export const TARGETS = {
  "linux-x64": { bunTarget: "bun-linux-x64", platformPackage: "bun-linux-x64" },
  "linux-x64-musl": { bunTarget: "bun-linux-x64-musl", platformPackage: "bun-linux-x64-musl" },
  "linux-arm64": { bunTarget: "bun-linux-arm64", platformPackage: "bun-linux-aarch64" },
  "linux-arm64-musl": {
    bunTarget: "bun-linux-arm64-musl",
    platformPackage: "bun-linux-aarch64-musl",
  },
  "macos-arm64": { bunTarget: "bun-darwin-arm64", platformPackage: "bun-darwin-aarch64" },
} as const satisfies Record<string, CrossTarget>;

export type TargetName = keyof typeof TARGETS;

/** For all packages together, 180 MB. */
const FETCH_TIMEOUT_MS = 180_000;

export function isTargetName(name: string): name is TargetName {
  return Object.hasOwn(TARGETS, name);
}

/**
 * Fetches the platform packages that are missing.
 *
 * @returns where they are installed
 * @throws Error when they cannot be had
 */
export async function fetchPlatforms(names: readonly TargetName[]): Promise<string> {
  const folder = join(ROOT, ".bun/platforms");
  await mkdir(folder, { recursive: true });
  await Bun.write(join(folder, "package.json"), JSON.stringify({ private: true }));
  const packages = names.map((name) => `@oven/${TARGETS[name].platformPackage}@${Bun.version}`);
  const flags = ["--os=*", "--cpu=*", "--libc=*", "--ignore-scripts", "--exact", "--no-save"];
  const bun = Bun.spawn([process.execPath, "add", ...flags, ...packages], {
    cwd: folder,
    stdout: "ignore",
    stderr: "pipe",
    timeout: FETCH_TIMEOUT_MS,
  });
  const [output, code] = await Promise.all([bun.stderr.text(), bun.exited]);
  if (code !== 0) throw new Error(`cannot fetch ${packages.join(" ")}: ${output.trim()}`);
  return folder;
}

/** Builds one executable from a platform that has been fetched into `folder`. */
export async function crossBuild(name: TargetName, folder: string, outfile: string): Promise<void> {
  const { bunTarget, platformPackage } = TARGETS[name];
  const executablePath = join(folder, "node_modules/@oven", platformPackage, "bin/bun");
  await buildExecutable({ outfile, bytecode: false, target: { name: bunTarget, executablePath } });
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { outdir: { type: "string", default: join(ROOT, "dist") } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !isTargetName(name));
  if (unknown !== undefined) {
    throw new Error(`no target ${unknown}; there are ${Object.keys(TARGETS).join(", ")}`);
  }
  const chosen = (positionals.length > 0 ? positionals : Object.keys(TARGETS)).filter(isTargetName);
  console.log(`fetching Bun ${Bun.version} for ${chosen.join(", ")}`);
  const folder = await fetchPlatforms(chosen);
  for (const name of chosen) {
    const outfile = join(values.outdir, `lmproxy-${name}`);
    await crossBuild(name, folder, outfile);
    console.log(`built ${outfile}`);
  }
}
