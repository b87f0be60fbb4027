/** A proxy with engines in processes of their own. */

import { type EngineProcess, startEngineProcess } from "../../test/support/engine-process.ts";
import { type ProxyProcess, startProxy } from "../../test/support/proxy.ts";
import { until } from "../../test/support/until.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import type { LogFile } from "./agreement.ts";

export interface ClusterOptions {
  readonly engines: number;
  /** Factor on the engines' times. */
  readonly timeScale: number;
  readonly flags?: readonly string[];
  /** Where the proxy's log goes, all of it; left out: only errors are logged. */
  readonly log?: LogFile;
}

export class Cluster {
  readonly proxy: ProxyProcess;
  readonly #engines: EngineProcess[];
  readonly #timeScale: number;

  constructor(proxy: ProxyProcess, engines: EngineProcess[], timeScale: number) {
    this.proxy = proxy;
    this.#engines = engines;
    this.#timeScale = timeScale;
  }

  static async start({ engines, timeScale, flags = [], log }: ClusterOptions): Promise<Cluster> {
    const started = await Promise.all(
      Array.from({ length: engines }, () => startEngineProcess({ timeScale })),
    );
    const nodes = started.flatMap(({ url }) => ["--node", url]);
    const proxy = await (log === undefined
      ? startProxy([...nodes, "--log-level", "error", ...flags])
      : startProxy([...nodes, ...flags], { command: log.command }));
    await untilHealthy(proxy, engines);
    return new Cluster(proxy, started, timeScale);
  }

  get size(): number {
    return this.#engines.length;
  }

  engine(index: number): EngineProcess {
    const engine = this.#engines[index];
    if (engine === undefined) throw new Error(`there is no engine ${index}`);
    return engine;
  }

  async stateOf(index: number): Promise<string | undefined> {
    return (await this.proxy.status())[this.engine(index).url]?.state;
  }

  async untilHealthy(index: number): Promise<void> {
    await until("the engine is healthy", async () => (await this.stateOf(index)) === "healthy");
  }

  /** Kills the process, as the kernel does when memory runs out. */
  async kill(index: number): Promise<void> {
    this.engine(index).kill("SIGKILL");
    await this.engine(index).exited;
  }

  /** A new process on the port of one that has ended; it registers if told where. */
  async revive(index: number, proxyUrl?: string): Promise<void> {
    const { port } = this.engine(index);
    this.#engines[index] = await startEngineProcess({
      port,
      timeScale: this.#timeScale,
      ...(proxyUrl === undefined ? {} : { proxyUrl }),
    });
  }

  /** Requests that are still counted, in the proxy and on the engines, once all clients are done. */
  async leftOver(): Promise<number> {
    let left = 0;
    const count = async () => {
      const nodes = Object.values(await this.proxy.status());
      const states = await Promise.all(this.#engines.map((engine) => engine.state()));
      left = nodes.reduce((sum, { unfinished }) => sum + unfinished, 0);
      left += states.reduce((sum, { openRequests }) => sum + openRequests, 0);
      return left === 0;
    };
    await until("nothing is in flight", count).catch(() => {});
    return left;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Those that took the place of a supervisor would outlive it, were it killed.
    await this.proxy.end("SIGTERM");
    for (const engine of this.#engines) await engine[Symbol.asyncDispose]();
  }
}
