import { join } from "node:path";
import type { Subprocess } from "bun";
import { type Cores, killTree, spawnPinned } from "./host.ts";
import type { Load, Measured } from "./load.ts";

/** Engine and load generator: two processes that live as long as the benchmark. */
export class Laboratory {
  readonly #engine: Subprocess;
  readonly #generator: Subprocess;
  readonly #answers: AsyncGenerator<string>;
  readonly #ports: readonly number[];
  readonly #otherPorts: readonly number[];

  /** The cores that are meant to be ours alone; none where nothing is pinned. */
  readonly cores: readonly number[];

  private constructor(
    cores: Cores,
    engine: Subprocess,
    generator: Subprocess,
    ports: { ports: number[]; otherPorts: number[] },
  ) {
    const pinned = [cores.contestant, cores.engine, cores.generator];
    this.cores = [...new Set(pinned.filter((core) => core !== null))];
    this.#engine = engine;
    this.#generator = generator;
    this.#answers = lines(generator.stdout);
    this.#ports = ports.ports;
    this.#otherPorts = ports.otherPorts;
  }

  /**
   * @param nodes ports that serve the benchmark's model
   * @param others ports that serve another
   */
  static async open(cores: Cores, nodes: number, others: number): Promise<Laboratory> {
    const script = (name: string) => [process.execPath, join(import.meta.dir, name)];
    const pipes = { stdin: "pipe", stdout: "pipe" } as const;
    const engine = spawnPinned([...script("engine.ts"), String(nodes), String(others)], {
      ...pipes,
      core: cores.engine,
    });
    const generator = spawnPinned(script("generator-process.ts"), {
      ...pipes,
      core: cores.generator,
    });
    const first = await lines(engine.stdout).next();
    if (first.done) throw new Error("the benchmark's engine did not start");
    return new Laboratory(cores, engine, generator, parsePorts(first.value));
  }

  get enginePid(): number {
    return this.#engine.pid;
  }

  /** Port of the engine itself, for ceilings. */
  get enginePort(): number {
    return this.#ports[0] ?? 0;
  }

  nodeUrls(nodes: number, others: number): string[] {
    const ports = [...this.#ports.slice(0, nodes), ...this.#otherPorts.slice(0, others)];
    return ports.map((port) => `http://127.0.0.1:${port}`);
  }

  async run(load: Load): Promise<Measured> {
    const { stdin } = this.#generator;
    if (!stdin || typeof stdin === "number") throw new Error("the load generator has no stdin");
    stdin.write(`${JSON.stringify(load)}\n`);
    await stdin.flush();
    const answer = await this.#answers.next();
    if (answer.done) throw new Error("the load generator has ended");
    return parseMeasured(answer.value);
  }

  async close(): Promise<void> {
    await Promise.all([killTree(this.#engine), killTree(this.#generator)]);
  }
}

// Both are written by this benchmark's own processes, from these types.
function parsePorts(line: string): { ports: number[]; otherPorts: number[] } {
  return JSON.parse(line);
}

function parseMeasured(line: string): Measured {
  return JSON.parse(line);
}

async function* lines(stream: Subprocess["stdout"]): AsyncGenerator<string> {
  if (!(stream instanceof ReadableStream)) return;
  const decoder = new TextDecoder();
  let held = "";
  for await (const bytes of stream) {
    held += decoder.decode(bytes, { stream: true });
    for (let at = held.indexOf("\n"); at >= 0; at = held.indexOf("\n")) {
      yield held.slice(0, at);
      held = held.slice(at + 1);
    }
  }
}
