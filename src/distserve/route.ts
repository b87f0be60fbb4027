import type { Admission } from "../core/admission/admission.ts";
import { noNode } from "../core/admission/refusals.ts";
import type { Role } from "../core/engine/roles.ts";
import { ProxyError } from "../core/errors.ts";
import type { NoNode, Wanted } from "../core/pool/choose.ts";
import { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { InferenceRequest } from "../upstream/request.ts";
import type { DecodeRoom } from "./decode-room.ts";
import type { HandshakeFailure } from "./handshake.ts";
import type { Pairs } from "./pairs.ts";
import { type Endpoint, endpointOf, muteReleases, type SessionNames } from "./session-names.ts";

export interface RouteOptions {
  readonly registry: Registry;
  readonly admission: Admission;
  readonly pairs: Pairs;
  readonly room: DecodeRoom;
  readonly names: SessionNames;
  /** How long a request waits for a connection when no pair is left, ms. */
  readonly pairWaitMs: number;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Aborts, with the error to answer, when the proxy shuts down. */
  readonly closing: AbortSignal;
}

interface PlannedPair {
  readonly prefill: Node;
  readonly decode: Node;
}

interface FailedPair extends PlannedPair {
  readonly failure: HandshakeFailure;
}

/** Pairs that an error names; what is wrong with one is mostly wrong with all. */
const MOST_NAMED = 3;

/**
 * One request's way: which nodes it may still use, and which pair it takes next. Nodes are chosen by
 * their strategies, each among its role; pairs that are known to fail, and after them those that
 * failed this request, come last.
 */
export class Route {
  readonly triedPrefill = new Set<Node>();
  readonly triedDecode = new Set<Node>();
  /** Only engines known to name their sessions come into question: another one has just kept its blocks. */
  namedOnly = false;
  /** For the queue: a request waits as one for its prefill. */
  readonly wanted: Wanted;
  readonly #options: RouteOptions;
  readonly #request: InferenceRequest;
  readonly #endpoint: Endpoint;
  readonly #failed: FailedPair[] = [];
  #planned: PlannedPair | null = null;

  constructor(request: InferenceRequest, options: RouteOptions) {
    this.#options = options;
    this.#request = request;
    const { model, target, asked } = request;
    this.#endpoint = endpointOf(target);
    this.wanted = { model, role: "Prefill", asked, tried: this.triedPrefill };
  }

  /**
   * Chooses the best pair. If it is connected, reserves its prefill node in the same step; else
   * returns null: it has to be connected first, by `prefill`.
   */
  readonly take = (): Lease | null | NoNode => {
    this.#planned = null;
    if (this.#noneIsNamed()) return null;
    const plan = this.#plan();
    if (typeof plan === "string") return plan;
    const { registry, pairs, room } = this.#options;
    if (pairs.isConnected(plan.prefill, plan.decode)) {
      const lease = registry.acquire({ ...this.wanted, among: (node) => node === plan.prefill });
      if (lease instanceof Lease) room.coming(this);
      return lease;
    }
    room.coming(this);
    this.#planned = plan;
    return null;
  };

  /**
   * The prefill node that `take` chose, once its pair is connected; where that fails, another.
   * @throws ProxyError when no pair can be connected, or no engine is of use; what `admission.proceed` throws
   */
  async prefill(taken: Lease | null | NoNode): Promise<Lease> {
    let next = taken;
    while (!(next instanceof Lease)) {
      if (next === "full") {
        next = await this.#waitForPrefill();
      } else if (next !== null) {
        next = await this.#untilConnected();
      } else {
        if (this.#noneIsNamed()) throw cannotHandOver(this.wanted.model, this.#endpoint);
        if (this.#planned !== null) await this.#connect(this.#planned);
        // Connecting took its time: chosen anew, among what is connected now.
        next = this.take();
      }
    }
    return next;
  }

  /** Whether pairs that failed this request may yet be connected. */
  get mayWait(): boolean {
    return this.#failed.some(({ failure }) => failure.gone.length === 0);
  }

  /**
   * Reserves a decode node for the blocks that wait on `prefill`: among those connected with it, else
   * after connecting another. A string when there is none.
   */
  async decode(prefill: Node): Promise<Lease | NoNode> {
    const { registry, pairs, room } = this.#options;
    const { model, asked } = this.wanted;
    const wanted = { model, role: "Decode", asked, tried: this.triedDecode } as const;
    const connected = { ...wanted, among: (node: Node) => pairs.isConnected(prefill, node) };
    const good = {
      ...wanted,
      among: (node: Node) => pairs.isConnected(prefill, node) && !pairs.isBad(prefill, node),
    };
    for (;;) {
      let lease: Lease | NoNode | null = registry.acquire(good);
      if (!(lease instanceof Lease) && lease !== "full") lease = registry.acquire(connected);
      if (!(lease instanceof Lease)) {
        const decode = this.#pickDecode(
          (node) => !pairs.isConnected(prefill, node) && !this.#hasFailed(prefill, node),
        );
        if (typeof decode !== "string") await this.#connect({ prefill, decode });
        else if (lease === "full") lease = await this.#waitForDecode(connected);
        else return lease;
      }
      if (!(lease instanceof Lease)) continue;
      room.arrived(this);
      return lease;
    }
  }

  /** Whether there is another node of the role that it has not tried. */
  hasAnother(role: Role): boolean {
    const tried = role === "Prefill" ? this.triedPrefill : this.triedDecode;
    return this.#options.registry.hasAnother({ model: this.wanted.model, role, tried });
  }

  /** It needs no node any more. */
  end(): void {
    this.#options.room.arrived(this);
  }

  #plan(): PlannedPair | NoNode {
    const { pairs } = this.#options;
    const isLeft = (prefill: Node, decode: Node) =>
      this.#isOfUse(prefill) && !this.#hasFailed(prefill, decode);
    const good = this.#planAmong(
      (prefill, decode) => isLeft(prefill, decode) && !pairs.isBad(prefill, decode),
    );
    if (good === "full" || typeof good !== "string") return good;
    const any = this.#planAmong(isLeft);
    return typeof any !== "string" || any === "full" ? any : good;
  }

  /** The best prefill node that has a decode node, and the best of those. */
  #planAmong(isUsable: (prefill: Node, decode: Node) => boolean): PlannedPair | NoNode {
    const { registry, room, now } = this.#options;
    const { model } = this.wanted;
    const decodes = registry.serving(model, "Decode");
    const alone = new Set<Node>();
    let none: NoNode | null = null;
    for (;;) {
      const prefill = registry.pick({
        ...this.wanted,
        among: (node) => !alone.has(node) && decodes.some((decode) => isUsable(node, decode)),
      });
      if (typeof prefill === "string") return none ?? prefill;
      const decode = this.#pickDecode((node) => isUsable(prefill, node));
      if (typeof decode !== "string") {
        return room.hasRoomFor(this, decodes, now()) ? { prefill, decode } : "full";
      }
      if (none !== "full") none = decode;
      alone.add(prefill);
    }
  }

  /** Whether the prefill engine tells, or may yet tell, what it keeps. */
  #isOfUse(prefill: Node): boolean {
    const isNamed = this.#options.names.of(prefill, this.#endpoint);
    return this.namedOnly ? isNamed === true : isNamed !== false;
  }

  /** Whether every prefill engine is known to keep blocks that nobody can free. */
  #noneIsNamed(): boolean {
    const { registry, names } = this.#options;
    let some = false;
    for (const node of registry.serving(this.wanted.model, "Prefill")) {
      if (node.health.state === "draining") continue;
      if (names.of(node, this.#endpoint) !== false) return false;
      some = true;
    }
    return some;
  }

  #pickDecode(among: (node: Node) => boolean): Node | NoNode {
    const { model, asked } = this.wanted;
    const tried = this.triedDecode;
    return this.#options.registry.pick({ model, role: "Decode", asked, tried, among });
  }

  #hasFailed(prefill: Node, decode: Node): boolean {
    return this.#failed.some((pair) => pair.prefill === prefill && pair.decode === decode);
  }

  /** One try; a pair that fails it is of no more use to this request while there is another. */
  async #connect(pair: PlannedPair): Promise<void> {
    const { prefill, decode } = pair;
    const failure = await this.#unlessGone(this.#options.pairs.connect(prefill, decode));
    if (failure !== null) this.#failed.push({ ...pair, failure });
  }

  async #waitForPrefill(): Promise<Lease | null> {
    const { client, signal } = this.#request;
    return (await this.#options.admission.proceed(this.wanted, client, signal, this.take)).lease;
  }

  /** Null when there is none left to wait for. */
  async #waitForDecode(wanted: Wanted): Promise<Lease | null> {
    const { client, signal } = this.#request;
    const { admission, registry } = this.#options;
    const place = await admission.proceed(wanted, client, signal, () => {
      const lease = registry.acquire(wanted);
      return lease instanceof Lease || lease === "full" ? lease : null;
    });
    return place.lease;
  }

  /**
   * No pair is left but those that have failed this request: waits for the first that can be
   * connected after all, and takes what there is then.
   * @throws ProxyError when there is nothing
   */
  async #untilConnected(): Promise<Lease | null | "full"> {
    const { pairs, pairWaitMs, after } = this.#options;
    const failed = this.#failed.splice(0);
    const { promise: isConnected, resolve } = Promise.withResolvers<boolean>();
    const stop = after(pairWaitMs, () => resolve(false));
    const settled = failed.map(async ({ prefill, decode, failure }) => {
      // Nobody listens there: it is for the probes to find out when that changes.
      if (failure.gone.length > 0) return;
      if ((await pairs.settled(prefill, decode)) === null) resolve(true);
    });
    void Promise.all(settled).then(() => resolve(false));
    try {
      if (!(await this.#unlessGone(isConnected))) this.#failed.push(...failed);
    } finally {
      stop();
    }
    const next = this.take();
    if (next === "full" || typeof next !== "string") return next;
    throw failed.length === 0 ? noNode(this.wanted.model) : cannotConnect(failed);
  }

  /** @throws what the client's signal gives when it leaves; ProxyError when the proxy shuts down */
  async #unlessGone<T>(waiting: Promise<T>): Promise<T> {
    const signals = [this.#request.signal, this.#options.closing];
    const { promise: gone, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signals.find(({ aborted }) => aborted)?.reason);
    for (const signal of signals) {
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
    }
    try {
      return await Promise.race([waiting, gone]);
    } finally {
      for (const signal of signals) signal.removeEventListener("abort", onAbort);
    }
  }
}

function cannotHandOver(model: string | null, endpoint: Endpoint): ProxyError {
  const what = model === null ? "any model" : `the model \`${model}\``;
  return new ProxyError(
    "upstream_error",
    `No prefill engine of ${what} names the session whose blocks it keeps, so none is asked any ` +
      `more: nobody could free them. Nor do ${muteReleases(endpoint)}.`,
  );
}

function cannotConnect(failed: readonly FailedPair[]): ProxyError {
  const pairs = failed.slice(0, MOST_NAMED).map(({ prefill, decode, failure }) => {
    return `prefill node ${prefill.url} with decode node ${decode.url}: ${failure.reason}`;
  });
  const more = failed.length > MOST_NAMED ? `, and ${failed.length - MOST_NAMED} more` : "";
  return new ProxyError("upstream_error", `Cannot connect ${pairs.join(". Nor ")}${more}.`);
}
