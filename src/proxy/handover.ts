/** The running proxy's side of a takeover. */
import { rmSync } from "node:fs";
import { Value } from "@sinclair/typebox/value";
import { version } from "../../package.json";
import type { Config } from "../config/serve-config.ts";
import type { Clock } from "../core/clock.ts";
import type { Registry } from "../core/pool/registry.ts";
import { errorCode, errorMessage } from "../core/thrown.ts";
import type { Mode } from "../http/mode.ts";
import type { EventLog } from "../observe/log.ts";
import type { StateFile } from "../state/file.ts";
import { drawState } from "../state/format.ts";
import type { KeptNodes } from "../state/persist.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Served } from "./listen.ts";
import { connectionsAt, ListeningSocket } from "./listening-socket.ts";
import {
  isSameAddress,
  type ListensAt,
  listensElsewhere,
  PROTOCOL,
  type Standing,
  Successor,
  socketPath,
} from "./standing.ts";

export interface HandoverOptions {
  readonly config: Config;
  readonly served: Pick<Served, "port" | "ports"> & { readonly listeners: Settling };
  /** Those that listen at the port; null where this process does. */
  readonly workers: Workers | null;
  readonly registry: Registry;
  readonly mode: Pick<Mode, "disaggregated">;
  readonly kept: KeptNodes;
  /** Its lock is ours. */
  readonly stateFile: StateFile;
  readonly lifecycle: Lifecycle;
  readonly clock: Pick<Clock, "now" | "after">;
  readonly log: EventLog;
  /** Told when another process, of that version, has taken this one's place. */
  readonly onReplaced: (version: string) => void;
}

interface Workers {
  readonly count: number;
  /** Whether some come up just now, are replaced, or get another certificate. */
  isChanging(): boolean;
  /** Resolves when all know that another process keeps the nodes, which has `listeners` listeners at the port. */
  handOver(listeners: number): Promise<void>;
}

interface Settling {
  /** Resolves when one server alone listens at each of `ports`. */
  readonly settled: Promise<unknown>;
}

/** After so long nobody's handshake with an old listener is under way, ms: a lost SYN-ACK is sent again after 1 s. */
export const HANDSHAKES_MS = 3_000;

/** Why a takeover is refused, for whoever asked. */
class Refusal extends Error {}

/** A socket at which another process of the same user may take this one's place. */
export class Handover {
  readonly #options: HandoverOptions;
  #server: Bun.Server<undefined> | null = null;
  #sockets: readonly ListeningSocket[] = [];
  #successor: Successor | null = null;

  constructor(options: HandoverOptions) {
    this.#options = options;
  }

  /** Opens the socket; without it all else works. */
  start(): void {
    const path = socketPath(this.#options.stateFile.path);
    const before = process.umask(0o177);
    try {
      // One that died left it; the state file's lock says that nobody else is behind it.
      rmSync(path, { force: true });
      this.#server = Bun.serve({ unix: path, fetch: (request) => this.#answer(request) });
    } catch (error) {
      const reason = errorMessage(error);
      this.#options.log.info("no other process can take over from this one", { reason });
    } finally {
      process.umask(before);
    }
  }

  /** Nothing else may be done with the port meanwhile. @throws Error while another process takes it, or has. */
  refuseWhileReplaced(): void {
    const { lifecycle } = this.#options;
    const isComing = this.#successor !== null && isAlive(this.#successor.pid);
    if (!lifecycle.retired && !isComing) return;
    throw new Error("another process takes this one's place, and reads the files itself");
  }

  async stop(): Promise<void> {
    await this.#server?.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    try {
      switch (`${request.method} ${new URL(request.url).pathname}`) {
        case "POST /share":
          return Response.json(await this.#share(await request.json()));
        case "POST /leave":
          return Response.json(await this.#leave());
        default:
          throw new Refusal("there is nothing here but /share and /leave");
      }
    } catch (error) {
      const message = errorMessage(error);
      return Response.json({ message }, { status: error instanceof Refusal ? 409 : 500 });
    }
  }

  /** From now on the other one may listen beside us. */
  async #share(asked: unknown): Promise<Standing> {
    if (!Value.Check(Successor, asked)) {
      throw new Refusal(`it speaks version ${PROTOCOL} of this protocol only`);
    }
    if (this.#successor !== null && isAlive(this.#successor.pid)) {
      throw new Refusal(`process ${this.#successor.pid} is just taking over`);
    }
    const { config, served, log, workers } = this.#options;
    if (workers?.isChanging() === true) {
      throw new Refusal("its workers are just replaced, or get another certificate; try again");
    }
    refuseElsewhere(asked, { host: config.host, port: served.port });
    this.#successor = asked;
    // The one before us may listen still, or a listener of before a reload: a connection is led away
    // from one listener to one other.
    await served.listeners.settled;
    this.#sockets = served.ports.flatMap((port) => ListeningSocket.on(port));
    for (const socket of this.#sockets) socket.share();
    log.info("another process wants to take over", { pid: asked.pid, version: asked.version });
    return this.#standing();
  }

  /** The other one listens: it gets all that is new. */
  async #leave(): Promise<Standing> {
    if (this.#successor === null) throw new Refusal("nobody has said that it wants to take over");
    const { clock, lifecycle, stateFile, onReplaced, log, served, workers } = this.#options;
    const { pid, version, listeners = 1 } = this.#successor;
    // From now on what changes nodes is asked of the other one.
    await workers?.handOver(listeners);
    const of = workers === null ? 1 + listeners : 2;
    for (const socket of this.#sockets) socket.leadAway({ of, at: 0 });
    const left = this.#standing();
    lifecycle.retire({ nodesMoved: true });
    log.info("another process has taken over; this one ends when its clients have gone", {
      pid,
      version,
    });
    await stateFile.close();
    onReplaced(version);
    clock.after(HANDSHAKES_MS, () => {
      for (const socket of this.#sockets) socket.close();
      lifecycle.leftPort(() => connectionsAt(served.port));
    });
    // Removes the file, which the other one makes anew; the answer is under way and stays so.
    void this.#server?.stop(false);
    this.#server = null;
    return left;
  }

  #standing(): Standing {
    const { config, served, workers, registry, kept, clock, mode } = this.#options;
    const nowMs = clock.now();
    return {
      protocol: PROTOCOL,
      version,
      pid: process.pid,
      host: config.host,
      port: served.port,
      listeners: workers?.count ?? 1,
      state: drawState(kept.entries(), "lmproxy"),
      removed: [...registry.membership.removedByHand()],
      routable: registry
        .nodes()
        .flatMap(({ url, health }) => (health.routable(nowMs) ? [url] : [])),
      pairs: mode.disaggregated?.connected() ?? [],
    };
  }
}

/** @throws Refusal for one that is to listen elsewhere than at `own` */
function refuseElsewhere(asked: Successor, own: ListensAt): void {
  const { host = own.host, port = own.port } = asked;
  if (!isSameAddress({ host, port }, own)) throw new Refusal(listensElsewhere(own));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}
