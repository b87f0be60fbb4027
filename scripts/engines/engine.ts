/** One real engine as a process of its own. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import {
  freePort,
  killTree,
  removeScratch,
  scratchDirectory,
  spawnPinned,
} from "../../bench/host.ts";
import { readLoadSignals } from "../../src/core/engine/load-signals.ts";
import type { EngineOptions, Kind } from "./kinds.ts";

const POLL_MS = 100;
export class Engine {
  readonly kind: Kind;
  readonly port: number;
  readonly #folder: string;
  readonly #scratch: string;
  #child: Subprocess;
  #options: EngineOptions;
  #starts = 0;

  private constructor(kind: Kind, folder: string, port: number, options: EngineOptions) {
    this.kind = kind;
    this.port = port;
    this.#folder = folder;
    this.#options = options;
    this.#scratch = scratchDirectory(`engine-${kind.name}`);
    this.#child = this.#spawn();
  }

  /** @throws Error with the end of its log when it does not answer in time */
  static async start(kind: Kind, folder: string, options: EngineOptions = {}): Promise<Engine> {
    const engine = new Engine(kind, folder, freePort(), options);
    await engine.untilUp();
    return engine;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get #log(): string {
    return join(this.#scratch, `${this.#starts}.log`);
  }

  get #events(): string {
    return join(this.#scratch, `${this.#starts}.events`);
  }

  log(): string {
    return readFileSync(this.#log, "utf8");
  }

  /** What the stand-in under LMDeploy's server tells of, in order. */
  events(): Record<string, unknown>[] {
    if (!existsSync(this.#events)) return [];
    return readFileSync(this.#events, "utf8")
      .split("\n")
      .filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line));
  }

  #spawn(): Subprocess {
    this.#starts += 1;
    const { argv, env } = this.kind.command(this.#folder, this.port, this.#options);
    return spawnPinned([...argv], {
      core: null,
      log: this.#log,
      env: { ...env, EVENTS: this.#events },
    });
  }

  async untilUp(): Promise<void> {
    const endMs = performance.now() + this.kind.startLimitMs;
    while (performance.now() < endMs && this.#child.exitCode === null) {
      const answer = await fetch(`${this.url}/health`, {
        signal: AbortSignal.timeout(2_000),
      }).catch(() => null);
      if (answer?.status === 200) return;
      await Bun.sleep(POLL_MS);
    }
    throw new Error(`${this.kind.title} did not start:\n${this.log().slice(-2_000)}`);
  }

  /** A new process on the same port. */
  async restart(options: EngineOptions = {}): Promise<void> {
    await killTree(this.#child);
    this.#options = options;
    this.#child = this.#spawn();
    await this.untilUp();
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** To its whole process group, as a shell or a container sends it. */
  signal(signal: NodeJS.Signals): void {
    process.kill(-this.#child.pid, signal);
  }

  /** To the first process alone, as a service manager sends it. */
  signalMain(signal: NodeJS.Signals): void {
    process.kill(this.#child.pid, signal);
  }

  /** To the process that computes, where it is one of its own. */
  signalCore(signal: NodeJS.Signals): void {
    const { core } = this.kind;
    const found = groupOf(this.#child.pid).filter(
      (pid) => core !== undefined && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(core),
    );
    if (found.length === 0) throw new Error(`${this.kind.title} has no process ${core}`);
    for (const pid of found) process.kill(pid, signal);
  }

  /** Requests that it runs or keeps waiting, by its own word. */
  async atWork(): Promise<number> {
    if (this.kind.name === "lmdeploy") {
      const count = (name: string) => this.events().filter(({ event }) => event === name).length;
      return count("begin") - count("end");
    }
    const headers = this.#options.apiKey ? { authorization: `Bearer ${this.#options.apiKey}` } : {};
    const page = await (await fetch(`${this.url}/metrics`, { headers, keepalive: false })).text();
    const { running, waiting } = readLoadSignals(page);
    return (running ?? 0) + (waiting ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await killTree(this.#child);
    removeScratch(this.#scratch);
  }
}

/** Processes of a group, by /proc. */
function groupOf(leader: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        // After the name in parentheses: state, parent, group.
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        const group = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2];
        return Number(group) === leader ? [Number(name)] : [];
      } catch {
        return [];
      }
    });
}
