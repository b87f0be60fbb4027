import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";

/** Cores the parts are pinned to; null where they cannot be pinned. */
export interface Cores {
  contestant: number | null;
  engine: number | null;
  generator: number | null;
}

/** Contestants have the first core for themselves; engine and generator share what is left. */
export function chooseCores(): Cores {
  const count = cpus().length;
  if (count < 2 || !Bun.which("taskset")) {
    return { contestant: null, engine: null, generator: null };
  }
  return { contestant: 0, engine: 1, generator: count > 2 ? 2 : 1 };
}

const running = new Set<Subprocess>();
const scratch = new Set<string>();

/** A directory for one run of a contestant: gone when the benchmark ends, however it ends. */
export function scratchDirectory(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `bench-${name}-`));
  scratch.add(path);
  return path;
}

export function removeScratch(path: string): void {
  rmSync(path, { recursive: true, force: true });
  scratch.delete(path);
}

export interface SpawnOptions {
  core: number | null;
  env?: Record<string, string>;
  stdin?: "pipe" | "ignore";
  stdout?: "pipe" | "ignore";
  /** File that takes what the process says; by default it is dropped. */
  log?: string;
}

/**
 * Starts a command on a core, in a process group of its own and with as many descriptors as it may
 * have. Everything started here ends with `killAll`.
 */
export function spawnPinned(command: string[], options: SpawnOptions): Subprocess {
  const pinned =
    options.core === null ? command : ["taskset", "-c", String(options.core), ...command];
  const child = Bun.spawn(["sh", "-c", 'ulimit -n "$(ulimit -Hn)"; exec "$@"', "sh", ...pinned], {
    env: { ...inheritedEnvironment(), ...options.env },
    stdin: options.stdin ?? "ignore",
    stdout: options.stdout ?? (options.log ? Bun.file(options.log) : "ignore"),
    stderr: options.log ? Bun.file(options.log) : "ignore",
    detached: true,
    onExit: (exited) => {
      running.delete(exited);
    },
  });
  running.add(child);
  return child;
}

/** Starts a command as it stands, on any core: for measuring how it starts. */
export function spawnPlain(command: string[], env: Record<string, string> = {}): Subprocess {
  const child = Bun.spawn(command, {
    env: { ...inheritedEnvironment(), ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    detached: true,
    onExit: (exited) => {
      running.delete(exited);
    },
  });
  running.add(child);
  return child;
}

/** Nothing of the caller's settings reaches a contestant but what finds programs and certificates. */
function inheritedEnvironment(): Record<string, string> {
  const kept = ["PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH"];
  return Object.fromEntries(
    kept.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** Ends a process and all of its group, and waits until it has gone. */
export async function killTree(child: Subprocess): Promise<void> {
  signalGroup(child, "SIGKILL");
  await child.exited;
}

function signalGroup(child: Subprocess, signal: NodeJS.Signals): void {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has gone by itself.
  }
}

/** On exit, Ctrl-C and SIGTERM nothing that was started here stays behind. */
export function killAllAtExit(): void {
  const killAll = () => {
    for (const child of running) signalGroup(child, "SIGKILL");
    for (const path of scratch) rmSync(path, { recursive: true, force: true });
  };
  process.on("exit", killAll);
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    process.on(signal, () => process.exit(code));
  }
}

/** Hard limit of open descriptors, to which every process started here raises its own. */
export function descriptorLimit(): number {
  const line = /^Max open files\s+\S+\s+(\S+)/m.exec(
    readFileSync("/proc/self/limits", "latin1"),
  )?.[1];
  return line === "unlimited" || line === undefined ? Number.POSITIVE_INFINITY : Number(line);
}

/** A port that was free a moment ago. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
