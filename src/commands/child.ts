/** A process of this same program, started by the demo and stopped with it. */
import { CommandError } from "./command-error.ts";
import { thisProgram } from "./self.ts";

/** Time to end by itself after SIGTERM, ms; then it is killed. */
const STOP_TIMEOUT_MS = 5_000;

export class Child {
  readonly #name: string;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #ended: Promise<never>;
  #lastLine = "";
  #isStopping = false;

  /** @param args of `lmproxy`, the command first */
  constructor(name: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    const { file, args: before } = thisProgram();
    this.#name = name;
    this.#process = Bun.spawn([file, ...before, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env,
    });
    const read = Promise.all([this.#read(this.#process.stdout), this.#read(this.#process.stderr)]);
    this.#ended = read.then(() => this.#process.exited).then((code) => this.#report(code));
    // Whoever waits for it sees the failure; nobody else has to.
    this.#ended.catch(() => {});
  }

  /** Rejects with a CommandError that holds its last words, once it ends without being stopped. */
  get ended(): Promise<never> {
    return this.#ended;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#process.exited;
    clearTimeout(timer);
  }

  /** Ends it as a crash does; nobody hears of it as a failure. */
  async kill(): Promise<void> {
    this.#isStopping = true;
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const lines = decoder.decode(chunk, { stream: true }).split("\n");
      this.#lastLine = lines.findLast((line) => line.trim() !== "") ?? this.#lastLine;
    }
  }

  async #report(code: number): Promise<never> {
    if (this.#isStopping) return await new Promise(() => {});
    const words = this.#lastLine.replace(/^lmproxy: /, "").slice(0, 500);
    throw new CommandError(`the ${this.#name} ended with exit code ${code}: ${words}`);
  }
}
