/**
 * What a supervisor is once another process has taken its place that it started itself: that one's parent. A
 * service manager, or a container, knows it for the proxy. It hands signals on, starts the next one when that is
 * asked for, so that it stays the only one of its kind, and ends when the last one has ended.
 */
import { programInPlace } from "./spawn-worker.ts";

/** Whom one that asks for a successor hears, when there is none. */
type Failed = (reason: string) => void;

/** Of these a second one ends a process at once. */
const ENDING = ["SIGINT", "SIGTERM"] as const;
const OTHERS = ["SIGHUP", "SIGUSR2"] as const;

/** What a process says to the one that started it, which it does not know for sure to be one of these. */
type ToMinder = { readonly failed: string } | { readonly wants: "minder" | "successor" };

export class Minder {
  readonly #argv: readonly string[];
  #port = 0;
  readonly #children = new Set<Bun.Subprocess>();
  /** Whether one that was started so is to be asked for successors of ours. */
  #isMinded = false;
  #failed: Failed = () => {};
  /** Children that know us for what we are. */
  readonly #known = new WeakSet<Bun.Subprocess>();
  readonly #told = Promise.withResolvers<void>();

  /** @param argv Of `lmproxy serve`. */
  constructor(argv: readonly string[]) {
    this.#argv = argv.includes("--takeover") ? argv : [...argv, "--takeover"];
    process.on("message", (message: unknown) => {
      if (message === "minded") this.#isMinded = true;
      else if (message === "end") this.#told.resolve();
      else if (isFailure(message)) this.#failed(message.failed);
    });
    process.on("disconnect", () => {
      // For who started it, the proxy is that process: it was killed, and nobody could end us.
      if (this.#isMinded) this.#told.resolve();
      this.#isMinded = false;
    });
    say({ wants: "minder" });
  }

  /** Resolves when the one that started us has got a signal to end, or has gone. */
  get told(): Promise<void> {
    return this.#told.promise;
  }

  /** Starts what lies in our place now, to take over from us at `port`. @param failed Called when it ends before. */
  readonly start = (port: number, failed: Failed): void => {
    this.#port = port;
    if (this.#isMinded) {
      this.#failed = failed;
      say({ wants: "successor" });
    } else {
      this.#spawn(failed);
    }
  };

  /** We do not come up. */
  tell(reason: string): void {
    say({ failed: reason });
  }

  /**
   * We end, and signals are for whoever has taken our place, if we started it.
   * @param isReplaced Else a signal ends us, and it ends whoever is only on the way.
   */
  handOn(isReplaced: boolean): void {
    if (this.#children.size === 0) return;
    for (const signal of OTHERS) {
      process.removeAllListeners(signal);
      process.on(signal, () => {
        for (const child of this.#children) child.kill(signal);
      });
    }
    let isTold = false;
    const end = (signal: NodeJS.Signals) => {
      for (const child of this.#children) {
        // systemd, or a terminal, sends the signal to all processes: it must not come twice.
        if (!isTold && this.#known.has(child)) child.send("end");
        else child.kill(signal);
      }
      isTold = true;
    };
    if (!isReplaced) end("SIGTERM");
    for (const signal of ENDING) process.on(signal, end);
  }

  /** Resolves when all that we have started have ended, with the exit code of the last one; 0 when none runs any more. */
  async ended(): Promise<number> {
    let code = 0;
    while (this.#children.size > 0) {
      code = await Promise.race([...this.#children].map(({ exited }) => exited));
    }
    return code;
  }

  #spawn(failed: Failed): void {
    const { file, args } = programInPlace();
    let reason: string | null = null;
    // Any free port may have been asked for.
    const argv = ["serve", ...this.#argv, "--port", `${this.#port}`];
    const child = Bun.spawn([file, ...args, ...argv], {
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      env: process.env,
      ipc: (message: unknown) => {
        if (isFailure(message)) reason = message.failed;
        else if (wants("minder", message)) {
          this.#known.add(child);
          child.send("minded");
        } else if (wants("successor", message)) {
          this.#spawn((why) => {
            if (this.#children.has(child)) child.send({ failed: why });
          });
        }
      },
    });
    this.#children.add(child);
    void child.exited.then((code) => {
      this.#children.delete(child);
      failed(reason ?? `the new process ended with ${child.signalCode ?? code}; the log says why`);
    });
  }
}

function say(message: ToMinder): void {
  try {
    process.send?.(message);
  } catch {
    // It has gone.
  }
}

function isFailure(message: unknown): message is { readonly failed: string } {
  return typeof message === "object" && message !== null && "failed" in message;
}

function wants(what: "minder" | "successor", message: unknown): boolean {
  return (
    typeof message === "object" && message !== null && "wants" in message && message.wants === what
  );
}
