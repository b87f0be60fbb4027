/** The servers of one port: one, and for a while those that had another certificate before it. */
import type { Place } from "../cluster/listener-order.ts";
import type { CertifiedKey } from "../cluster/messages.ts";
import { type Clock, pause } from "../core/clock.ts";
import { answerLastClients } from "./last-clients.ts";
import { ListeningSocket } from "./listening-socket.ts";

export interface ServeOptions {
  readonly key: CertifiedKey | null;
  readonly port: number;
  readonly reusePort: boolean;
  /** Told of each request: true once another server has taken this one's place. */
  readonly isFormer: () => boolean;
}

export interface ListenersOptions {
  readonly serve: (options: ServeOptions) => Bun.Server<undefined>;
  readonly clock: Pick<Clock, "now" | "after">;
  /** After so long without a request a connection that stands idle has been closed, ms. */
  readonly lingerMs: number;
  /** Another process may listen at the port for so long still, ms. */
  readonly sharedForMs: number;
}

/** How often it is looked whether anybody is left at a former one, ms. */
const DESERTED_POLL_MS = 1_000;

interface Listener {
  readonly server: Bun.Server<undefined>;
  askedAtMs: number;
  isFormer: boolean;
}

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #former = new Set<Listener>();
  #current: Listener;
  #settled: Promise<void>;

  /** @throws what `Bun.serve` throws */
  constructor(
    key: CertifiedKey | null,
    port: number,
    isShared: boolean,
    options: ListenersOptions,
  ) {
    this.#options = options;
    this.#current = this.#open(key, port, isShared);
    this.#settled = this.#wait(options.sharedForMs);
  }

  get server(): Bun.Server<undefined> {
    return this.#current.server;
  }

  /** Requests whose answer has not left its socket yet. */
  get pendingRequests(): number {
    let sum = this.server.pendingRequests;
    for (const { server } of this.#former) sum += server.pendingRequests;
    return sum;
  }

  /** Resolves when nobody but the server of now listens at the port, of all that this process knows. */
  get settled(): Promise<void> {
    return this.#settled;
  }

  /**
   * Serves new connections with another key. Those that stand stay, and are asked to go after their next
   * answer. Resolves when it is so; `settled`, when the old socket is closed, `settleMs` later.
   * @param place Of the old one, once the new one listens, too.
   * @returns false where this system has no such calls; nothing has changed then
   * @throws what `Bun.serve` throws; nothing has changed then
   */
  renew(key: CertifiedKey, place: Place, settleMs: number): Promise<boolean> {
    const renewed = this.#settled.then(() => this.#replace(key, place));
    this.#settled = renewed.then(
      async (leave) => {
        if (leave === null) return;
        await this.#wait(settleMs);
        leave();
      },
      () => {},
    );
    return renewed.then((leave) => leave !== null);
  }

  /** Resolves once nobody new can connect, and those who just have are answered; soon. */
  async leave(): Promise<void> {
    const { port } = this.server;
    if (port !== undefined) {
      await answerLastClients(port, () => this.pendingRequests, this.#options.clock);
    }
  }

  /** Open requests are cut. */
  async stop(): Promise<void> {
    for (const { server } of this.#former) await server.stop(true);
    await this.server.stop(true);
  }

  #open(key: CertifiedKey | null, port: number, reusePort: boolean): Listener {
    const isFormer = () => {
      if (listener.isFormer) listener.askedAtMs = this.#options.clock.now();
      return listener.isFormer;
    };
    const server = this.#options.serve({ key, port, reusePort, isFormer });
    const listener: Listener = { server, askedAtMs: this.#options.clock.now(), isFormer: false };
    return listener;
  }

  /** Returns what closes the old socket; null where this system has no such calls. */
  #replace(key: CertifiedKey, place: Place): (() => void) | null {
    const former = this.#current;
    const port = former.server.port ?? 0;
    const sockets = socketsOf(port);
    if (sockets === null) return null;
    const next = this.#open(key, port, true);
    try {
      for (const socket of sockets) socket.leadAway(place);
    } catch {
      void next.server.stop(true);
      return null;
    }
    this.#current = next;
    former.isFormer = true;
    former.askedAtMs = this.#options.clock.now();
    this.#former.add(former);
    return () => {
      for (const socket of sockets) socket.close();
      void this.#endOnceDeserted(former);
    };
  }

  async #endOnceDeserted(former: Listener): Promise<void> {
    const { clock, lingerMs } = this.#options;
    while (former.server.pendingRequests > 0 || clock.now() - former.askedAtMs < lingerMs) {
      await this.#wait(DESERTED_POLL_MS);
    }
    this.#former.delete(former);
    await former.server.stop(true);
  }

  async #wait(ms: number): Promise<void> {
    if (ms > 0) await pause(this.#options.clock, ms);
  }
}

/** Others may listen at their port from now on; null where this system has no such calls. */
function socketsOf(port: number): ListeningSocket[] | null {
  try {
    const sockets = ListeningSocket.on(port);
    for (const socket of sockets) socket.share();
    return sockets;
  } catch {
    return null;
  }
}
