/** The real program as a process, with its output to wait for. */
import { join } from "node:path";
import { PROGRAM } from "../support/program-under-test.ts";

export const MAIN = join(import.meta.dir, "../../src/main.ts");

export interface Finished {
  readonly out: string;
  readonly err: string;
  readonly code: number;
}

/** A started `lmproxy`; ends with the scope that holds it. */
export class Program implements AsyncDisposable {
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #waiting = new Set<() => void>();
  readonly #read: Promise<unknown>;
  #out = "";
  #err = "";

  constructor(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const { PATH = "" } = process.env;
    this.#process = Bun.spawn([...PROGRAM, ...argv], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH, ...env },
    });
    this.#read = Promise.all([
      this.#collect(this.#process.stdout, (text) => {
        this.#out += text;
      }),
      this.#collect(this.#process.stderr, (text) => {
        this.#err += text;
      }),
    ]);
  }

  get pid(): number {
    return this.#process.pid;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** The first match in stdout; rejects when the program ends without one. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    const isRead = this.#read.then(() => true);
    for (let isOver = false; ; ) {
      const match = pattern.exec(this.#out);
      if (match !== null) return match;
      if (isOver) throw new Error(`ended: ${this.#out}${this.#err}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      isOver = await Promise.race([promise.then(() => false), isRead]);
    }
  }

  async finished(): Promise<Finished> {
    await this.#read;
    return { out: this.#out, err: this.#err, code: await this.#process.exited };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  async #collect(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      add(decoder.decode(chunk, { stream: true }));
      for (const resolve of this.#waiting) resolve();
      this.#waiting.clear();
    }
  }
}

/** Runs `lmproxy` to its end. */
export async function run(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  await using program = new Program(argv, env);
  return await program.finished();
}

/** Runs `lmproxy` with a reader that leaves after a byte. @returns its stderr, and a last line: its exit code, 124 when it did not end */
export async function runForOneByte(argv: readonly string[]): Promise<string> {
  const pipeline = '{ timeout 50 "$0" "$@"; echo "$?" >&2; } | head -c 1 >/dev/null';
  const shell = Bun.spawn(["sh", "-c", pipeline, ...PROGRAM, ...argv], {
    stdin: "ignore",
    stderr: "pipe",
  });
  return await shell.stderr.text();
}

/** A proxy on a free port of loopback, once it listens. */
export async function startProxy(
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable & { readonly program: Program; readonly url: string }> {
  const program = new Program(["serve", "--host", "127.0.0.1", "--port", "0", ...flags], env);
  const [, url = ""] = await program.until(/^lmproxy listens on (\S+)$/m);
  return { program, url, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

/** An engine registered with the proxy at `proxyUrl`, once it listens. */
export async function startEngine(
  proxyUrl: string,
  flags: readonly string[] = [],
): Promise<AsyncDisposable & { readonly program: Program; readonly url: string }> {
  const place = ["--port", "0", "--proxy-url", proxyUrl, "--time-scale", "0"];
  const program = new Program(["engine", "--model", "m", ...place, ...flags]);
  const [, url = ""] = await program.until(/listens on (\S+)$/m);
  return { program, url, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}
