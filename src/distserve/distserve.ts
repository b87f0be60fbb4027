import { shuttingDown } from "../core/admission/refusals.ts";
import type { Node } from "../core/pool/node.ts";
import { Signal } from "../core/signal.ts";
import type { Reply } from "../upstream/reply.ts";
import type { InferenceRequest } from "../upstream/request.ts";
import type { Upstream } from "../upstream/send.ts";
import { isFreed } from "./answers.ts";
import { DecodeRoom } from "./decode-room.ts";
import { dispatchDistServe } from "./dispatch.ts";
import { EngineCalls } from "./engine-calls.ts";
import type { FreeResult } from "./free-lane.ts";
import { handshake } from "./handshake.ts";
import { type PairReport, Pairs } from "./pairs.ts";
import type { DistServeParts } from "./parts.ts";
import { DUMMY, migrationJson, type Transport } from "./protocol.ts";
import { SessionNames } from "./session-names.ts";
import { SessionLedger } from "./sessions.ts";
import { WarmUp } from "./warm-up.ts";

type Fields = Readonly<Record<string, string | number>>;

interface Log {
  info(message: string, fields: Fields): void;
  warn(message: string, fields: Fields): void;
}

export interface DistServeOptions {
  readonly upstream: Upstream;
  readonly transport: Transport;
  readonly dummyPrefill: boolean;
  /** Whether pairs are connected when a node joins. */
  readonly warmUp: boolean;
  /** Sent with the proxy's own questions to engines. */
  readonly engineHeaders: Readonly<Record<string, string>>;
  /** Requests a node may have in flight; Infinity for no limit. */
  readonly maxInFlightPerNode: number;
  /** How long a request waits for a pair to be connected when there is no other, ms. */
  readonly pairWaitMs: number;
  readonly log: Log;
}

/** How long requests may take to end, and sessions to be freed, when the proxy ends, ms. */
const CLOSE_LIMIT_MS = 5_000;
/** An engine that registers is kept waiting for this long at most, ms. */
const IDENTIFY_LIMIT_MS = 1_000;

/** Prefill and decode on different engines: pairs, sessions and requests, and what nodes do to them. */
export class DistServe {
  readonly #options: DistServeOptions;
  readonly #calls: EngineCalls;
  readonly #pairs: Pairs;
  readonly #sessions: SessionLedger;
  readonly #warmUp: WarmUp;
  readonly #parts: DistServeParts;
  readonly #dummyMigration: string | null;
  readonly #closing = new Signal();
  readonly #identifying = new Map<Node, Promise<void>>();
  readonly #timers = new Set<() => void>();
  #unsubscribe: () => void = () => {};

  constructor(options: DistServeOptions) {
    this.#options = options;
    const { upstream, transport, log, engineHeaders, warmUp } = options;
    const after = this.#after;
    const { registry, admission, now, fetch } = upstream;
    this.#calls = new EngineCalls({ headers: engineHeaders, fetch });
    this.#sessions = new SessionLedger({
      after,
      warn: (message, fields) => log.warn(message, fields),
      free: (node, session) => this.#free(node, session),
      onReplaced: (node) => registry.learning.engineReplaced(node),
      onLeft: (node) => this.#tidy(node),
      isRegistered: (url) => registry.get(url) !== undefined,
    });
    this.#pairs = new Pairs({
      now,
      after,
      handshake: (prefillId, decodeId) => handshake(prefillId, decodeId, this.#calls, transport),
      drop: (prefillId, decodeId) => this.#drop(prefillId, decodeId),
      inUse: (prefill, decode) => this.#sessions.inUse(prefill, decode),
      onConnected: (prefill, decode) => log.info("pair connected", { prefill, decode }),
      onFailed: (prefill, decode, { reason, gone }, isFirst) => {
        if (isFirst) log.warn("pair not connected", { prefill, decode, reason });
        for (const url of gone) this.#refused(url);
      },
    });
    this.#warmUp = new WarmUp({ registry, pairs: this.#pairs, onJoin: warmUp, after });
    this.#parts = {
      registry,
      admission,
      upstream,
      transport,
      after,
      now,
      pairs: this.#pairs,
      sessions: this.#sessions,
      stillThere: async (prefill) => {
        const reply = await this.#calls.engineInfo(prefill.url);
        if ("kind" in reply && reply.kind === "refused") this.#refused(prefill.url);
      },
      names: new SessionNames(),
      room: new DecodeRoom(options.maxInFlightPerNode),
      pairWaitMs: options.pairWaitMs,
      closing: this.#closing,
    };
    this.#dummyMigration = options.dummyPrefill ? migrationJson(DUMMY, transport) : null;
  }

  start(): void {
    this.#unsubscribe = this.#options.upstream.registry.subscribe({
      nodeAdded: (node) => this.#identify(node),
      nodeRestarted: (node, by) => {
        if (by === "gone") this.#forget(node);
        else this.#registeredAgain(node);
        if (node.health.alive) this.#joined(node);
      },
      nodeRemoved: (node) => this.#tidy(node),
      stateChanged: (node, _from, to) => {
        if (to === "healthy") this.#joined(node);
        if (to === "draining") this.#tidy(node);
      },
      leaseEnded: (lease, outcome) => {
        this.#sessions.leaseEnded(lease, outcome);
        const isLost = outcome.kind === "lost" || outcome.kind === "broken";
        if (isLost && lease.node.inFlight === 0) this.#pairs.suspect(lease.node);
        this.#tidy(lease.node);
      },
    });
  }

  stop(): void {
    this.#unsubscribe();
    for (const cancel of this.#timers) cancel();
  }

  /** A timer that does not outlive `stop`. */
  readonly #after = (ms: number, act: () => void): (() => void) => {
    const cancel = this.#options.upstream.after(ms, () => {
      this.#timers.delete(cancel);
      act();
    });
    this.#timers.add(cancel);
    return () => {
      this.#timers.delete(cancel);
      cancel();
    };
  };

  /** @throws ProxyError */
  dispatch(request: InferenceRequest): Promise<Reply> {
    return dispatchDistServe(request, this.#parts, this.#dummyMigration);
  }

  /** Connects every pair and tells how they are. */
  connectAll(): Promise<PairReport[]> {
    return this.#warmUp.all();
  }

  /** Pairs that are connected. */
  connected(): [prefillId: string, decodeId: string][] {
    return this.#pairs.connected();
  }

  /** Pairs that the process has connected whose place this one takes. */
  adopt(pairs: readonly (readonly [prefillId: string, decodeId: string])[]): void {
    this.#pairs.adopt(pairs);
  }

  /** Frees every session that nobody wants any more. */
  collect(): Promise<{ readonly freed: number; readonly failed: number }> {
    return this.#sessions.collect();
  }

  /** With how many engines the node's is connected, and how many sessions it keeps blocks for. */
  figures(node: Node): { readonly pairs: number; readonly openSessions: number } {
    return { pairs: this.#pairs.count(node), openSessions: this.#sessions.count(node) };
  }

  /** Ends the waiting for pairs: the proxy is shutting down. */
  cut(): void {
    this.#closing.abort(shuttingDown());
  }

  /** Once nothing runs any more, frees what is left, as far as that goes in a few seconds. */
  async close(): Promise<void> {
    const { upstream } = this.#options;
    const { promise: isLate, resolve } = Promise.withResolvers<void>();
    const stop = upstream.after(CLOSE_LIMIT_MS, resolve);
    const isDone = upstream.admission.idle().then(() => this.#sessions.close());
    await Promise.race([isDone, isLate]);
    stop();
  }

  /** The engine behind the URL has forgotten its pairs, and its session numbers begin anew. */
  #forget(node: Node): void {
    this.#sessions.forget(node);
    this.#pairs.drop(node);
  }

  /** It may be another process, whose peers do not know it: its pairs are made anew as soon as nobody uses them. */
  #registeredAgain(node: Node): void {
    this.#pairs.suspect(node);
    this.#identify(node);
  }

  /** Resolves when it is known whether the engine that has just registered is another process, or soon. */
  async identified(node: Node): Promise<void> {
    await this.#identifying.get(node);
  }

  #identify(node: Node): void {
    const { promise: isLate, resolve } = Promise.withResolvers<void>();
    const stop = this.#after(IDENTIFY_LIMIT_MS, resolve);
    const done = Promise.race([this.#forgetIfAbsent(node), isLate]).finally(() => {
      stop();
      if (this.#identifying.get(node) === done) this.#identifying.delete(node);
    });
    this.#identifying.set(node, done);
  }

  /**
   * A node registered of whose engine something is kept: an engine that started anew registers
   * before it listens, one that an operator put back answers and still keeps their blocks.
   */
  async #forgetIfAbsent(node: Node): Promise<void> {
    if (!this.#sessions.knows(node) && this.#pairs.count(node) === 0) return;
    const reply = await this.#calls.engineInfo(node.url);
    if (!("kind" in reply) || reply.kind !== "refused") return;
    this.#forget(node);
    if (node.health.alive) this.#joined(node);
  }

  #joined(node: Node): void {
    if (this.#dummyMigration === null) this.#warmUp.joined(node);
  }

  /** A node that is leaving loses its pairs with its last request. */
  #tidy(node: Node): void {
    if (node.health.state !== "draining" || node.inFlight > 0) return;
    if (this.#sessions.isWanted(node)) return;
    this.#pairs.drop(node);
    this.#sessions.tidy(node);
  }

  #refused(url: string): void {
    const { registry } = this.#options.upstream;
    const node = registry.get(url);
    if (node !== undefined) registry.learning.refusedConnection(node);
  }

  /** Engines that do not answer have nothing left to drop, or nobody to tell. */
  async #drop(prefillId: string, decodeId: string): Promise<void> {
    await Promise.all([
      this.#calls.drop(prefillId, decodeId),
      this.#calls.drop(decodeId, prefillId),
    ]);
  }

  async #free(node: Node, session: string): Promise<FreeResult> {
    const reply = await this.#calls.free(node.url, session);
    if ("kind" in reply) {
      if (reply.kind !== "refused") return "failed";
      this.#refused(node.url);
      return "gone";
    }
    if (reply.status === 404) return "given_up";
    return reply.status === 200 && isFreed(reply.body) ? "freed" : "failed";
  }
}
