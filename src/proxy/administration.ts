/** What administrators and engines ask of workers, answered where the nodes are known. */
import type { AdminAnswer, AdminRequest } from "../cluster/messages.ts";
import type { Telling } from "../cluster/telling.ts";
import type { Config } from "../config/serve-config.ts";
import { within } from "../core/clock.ts";
import { createApp } from "../http/app.ts";
import { RouteTable } from "../http/routes/table.ts";
import type { Services } from "../http/services.ts";
import type { Log } from "../observe/log.ts";
import { packed } from "./admin-answer.ts";
import { CLOCK } from "./assemble.ts";
import { routesOf } from "./routes.ts";

/** What is under way when another process takes over is waited for, ms. */
const LATE_MS = 1_000;

/** The other ends of workers' sockets, which are not this process'. */
export class WorkersPeers {
  readonly #addresses = new WeakMap<Request, string | null>();

  came(request: Request, socketAddress: string | null): void {
    this.#addresses.set(request, socketAddress);
  }

  requestIP(request: Request): { readonly address: string } | null {
    const address = this.#addresses.get(request) ?? null;
    return address === null ? null : { address };
  }

  /** No connection is this process' own. */
  timeout(): void {}
}

export interface AdministrationOptions {
  readonly config: Config;
  readonly services: Services;
  readonly peers: WorkersPeers;
  readonly telling: Telling;
  readonly log: Log;
}

export class Administration {
  readonly #options: AdministrationOptions;
  readonly #app: ReturnType<typeof createApp>;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(options: AdministrationOptions) {
    this.#options = options;
    const routes = routesOf(options.config);
    this.#app = createApp(routes, new RouteTable(routes), options.services);
  }

  /** True for all workers when it is given. */
  async answer(asked: AdminRequest): Promise<AdminAnswer> {
    const { log, telling } = this.#options;
    const before = `${log.level} ${log.format}`;
    const answering = this.#answer(asked);
    this.#underWay.add(answering);
    const answer = await answering.finally(() => this.#underWay.delete(answering));
    const { level, format } = log;
    if (`${level} ${format}` !== before) telling.order({ do: "log", level, format });
    await telling.heard();
    return answer;
  }

  /** Resolves when what was asked is done, but for calls to engines that take their time. */
  async idle(): Promise<void> {
    await within(CLOCK, LATE_MS, Promise.allSettled(this.#underWay));
  }

  async #answer({ method, url, headers, body, socketAddress }: AdminRequest): Promise<AdminAnswer> {
    const request = new Request(url, { method, headers: headers.map(([n, v]) => [n, v]), body });
    this.#options.peers.came(request, socketAddress);
    return await packed(await this.#app.fetch(request));
  }
}
