/** One of several processes that answer clients at one port; another one, the control plane, knows the nodes. */
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { version } from "../../package.json";
import { Channel } from "../cluster/channel.ts";
import type { Place } from "../cluster/listener-order.ts";
import { type Beginning, PROTOCOL, type ToControl, type ToWorker } from "../cluster/messages.ts";
import { pause } from "../core/clock.ts";
import { logUnexpected } from "../observe/log.ts";
import { type Assembled, CLOCK } from "./assemble.ts";
import { type Begun, beginWorker, orUndefined, readConfig } from "./begin-worker.ts";
import { listen, type Served } from "./listen.ts";
import { connectionsAt, ListeningSocket } from "./listening-socket.ts";

/** By then a handshake that was under way when connections were led away has come to its end, ms. */
const SETTLE_MS = 1_000;

export class ProxyWorker {
  readonly #channel: Channel<ToControl>;
  readonly #end: () => void;
  readonly #beginWorker: typeof beginWorker;
  #begun: Begun | null = null;
  #beginning: Promise<unknown> = Promise.resolve();
  #listening: Served | null = null;
  /** Of the table. */
  #folder: string | null = null;
  #ending: Promise<void> | null = null;
  /** Whether the control plane says of all workers that they end. */
  #isSaid = false;
  /** Resolves when it ends now, whoever is connected. */
  readonly #told = Promise.withResolvers<void>();

  /**
   * @param send To the control plane.
   * @param end Called once, when nothing is left to be done.
   * @param begin Puts it together.
   */
  constructor(send: (message: unknown) => void, end: () => void, begin = beginWorker) {
    this.#beginWorker = begin;
    this.#channel = new Channel<ToControl>(send, (question) => {
      if (!isQuestion(question)) throw new Error("not understood");
      return this.#answer(question);
    });
    this.#end = end;
  }

  receive(message: unknown): void {
    this.#channel.receive(message);
  }

  /** The control plane has gone: nobody would start another in its place. */
  async orphaned(): Promise<void> {
    this.#channel.close();
    // Nobody else would: all that have mapped it go on.
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true, force: true });
    this.#told.resolve();
    await this.#drain();
  }

  report(error: unknown): void {
    if (this.#begun !== null) logUnexpected(this.#begun.log, error);
  }

  #answer(question: ToWorker): unknown {
    if (question.do === "begin") {
      const begins = this.#begin(question);
      this.#beginning = begins.catch(() => {});
      return begins;
    }
    const begun = this.#begun;
    if (begun !== null) return this.#act(question, begun);
    return this.#beginning.then(() => {
      if (this.#begun === null) throw new Error("nothing has begun");
      return this.#act(question, this.#begun);
    });
  }

  #act(question: Exclude<ToWorker, { readonly do: "begin" }>, begun: Begun): unknown {
    const { services } = begun.assembled;
    switch (question.do) {
      case "news":
        return begun.hearer.hear(question.news);
      case "listen":
        return this.#listen(begun, question.port);
      case "spread":
        for (const socket of this.#sockets()) socket.leadToAll();
        return null;
      case "log":
        begun.log.level = question.level;
        begun.log.format = question.format;
        return null;
      case "keys":
        begun.assembled.keys.use(readConfig(question.config));
        return null;
      case "certificate":
        return this.#renew(begun, question);
      case "metrics":
        return services.metricsPage(question.openMetrics);
      case "figures":
        return figures(services);
      case "failures":
        return failures(services, question.url);
      case "requests":
        return services.openRequests();
      case "live":
        return begun.assembled.liveFacts();
      case "show":
        return begun.live.show(question.watcher, question.line);
      case "explain":
        return services.explain(question.id);
      case "cancel":
        return services.cancel(question.id);
      case "retire":
        return this.#retire(begun, question);
      case "moved":
        begun.assembled.lifecycle.retire({ nodesMoved: true });
        return null;
      case "drain":
        this.#isSaid = question.isSaid === true;
        this.#told.resolve();
        return this.#drain();
      default:
        return question satisfies never;
    }
  }

  async #begin(question: Beginning & { readonly protocol: number }): Promise<string> {
    if (question.protocol !== PROTOCOL) {
      throw new Error(`version ${version} cannot join; lmproxy upgrade --supervisor replaces all`);
    }
    this.#folder = dirname(question.table);
    const served = () => {
      if (this.#listening === null) throw new Error("nothing listens yet");
      return this.#listening;
    };
    const listening = {
      port: () => this.#listening?.port ?? 0,
      pendingRequests: () => served().listeners.pendingRequests,
      server: () => served().listeners.server,
      stateLocked: () => null,
      stateProblem: () => null,
    };
    this.#begun = await this.#beginWorker(question, listening, this.#channel);
    return version;
  }

  #listen({ config, assembled, log }: Begun, port: number): number {
    const own = { ...config, port, metricsPort: null };
    const listening = listen(own, assembled, log, { isShared: true, forMs: 0 });
    this.#listening = listening;
    const { tasks, knowing } = assembled;
    for (const task of tasks) if (!knowing.includes(task)) task.start();
    return listening.port;
  }

  #sockets(): ListeningSocket[] {
    return this.#listening === null ? [] : ListeningSocket.on(this.#listening.port);
  }

  /** Whether it is so; what is not served yet is served with it, and what is left behind is not. */
  async #renew({ assembled }: Begun, { key, place }: Extract<ToWorker, { do: "certificate" }>) {
    assembled.certificate.use(key);
    if (this.#listening === null || place === null) return true;
    const { listeners } = this.#listening;
    const isRenewed = await listeners.renew(key, place, SETTLE_MS);
    await listeners.settled;
    return isRenewed;
  }

  /** Whether the port was left with no connection reset. */
  async #retire(begun: Begun, place: Place & { readonly to?: readonly number[] }) {
    begun.assembled.lifecycle.retire({ nodesMoved: false });
    let clean = true;
    try {
      const sockets = this.#sockets();
      for (const socket of sockets) {
        if (place.to === undefined) socket.leadAway(place);
        else socket.leadTo(place.to);
      }
      await pause(CLOCK, SETTLE_MS);
      // Where this process stood still meanwhile, some have yet to be accepted.
      await pause(CLOCK, SETTLE_MS / 10);
      for (const socket of sockets) socket.close();
      const port = this.#listening?.port ?? 0;
      begun.assembled.lifecycle.leftPort(() => connectionsAt(port));
    } catch {
      // This system has no such calls.
      void this.#listening?.listeners.server.stop(false);
      clean = false;
    }
    void this.#drain();
    return clean;
  }

  /** Resolves when it has ended, whoever calls it again. */
  #drain(): Promise<void> {
    this.#ending ??= this.#endAll();
    return this.#ending;
  }

  async #endAll(): Promise<void> {
    try {
      if (this.#begun !== null) await this.#wrapUp(this.#begun);
    } catch (error) {
      // It ends all the same: nobody waits for one that has left the port.
      this.report(error);
    } finally {
      this.#end();
    }
  }

  async #wrapUp({ assembled, flushLog, traces }: Begun): Promise<void> {
    const { lifecycle } = assembled;
    const isSaid = () => this.#isSaid;
    const cut = this.#listening === null ? 0 : await lifecycle.drain(this.#told.promise, isSaid);
    const page = await assembled.services.metricsPage(false);
    await orUndefined(this.#channel.ask({ do: "counted", page, cut }));
    await this.#listening?.listeners.leave();
    await this.#listening?.stop();
    await traces?.stop();
    await flushLog();
  }
}

function isQuestion(question: unknown): question is ToWorker {
  return typeof question === "object" && question !== null && "do" in question;
}

type Services = Assembled["services"];

async function figures({ registry, nodeFigures }: Services) {
  const of = await nodeFigures();
  return registry.nodes().map((node) => ({
    url: node.url,
    latenciesMs: node.latencies.toArray(),
    figures: of.get(node),
  }));
}

async function failures({ registry, nodeFailures }: Services, url: string) {
  const node = registry.get(url);
  return node === undefined ? [] : [...(await nodeFailures(node))];
}
