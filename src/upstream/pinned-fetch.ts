/**
 * fetch for engines that have names: resolved here, so that no connection goes to an address that was
 * not judged. Whoever may add a node could otherwise add a name, let it pass, and point it elsewhere.
 */
import { AddressRefused } from "../core/address/address-policy.ts";
import type { Clock } from "../core/clock.ts";
import { classify } from "./attempt.ts";
import type { Fetch } from "./forward.ts";

export interface PinnedFetchOptions {
  readonly fetch: Fetch;
  /** The addresses of a host name, best first. Rejects when it has none. */
  readonly resolve: (hostname: string) => Promise<readonly { readonly address: string }[]>;
  /** Why the proxy must not connect to an address of `hostname`, as a sentence; null when it may. */
  readonly refusal: (hostname: string, address: string, port: number) => string | null;
  readonly clock: Pick<Clock, "now" | "after">;
}

/** What a name was resolved to counts for this long, ms. */
const KEEP_MS = 5_000;
/** A name server that takes longer than this is not waited for while there is an address that works, ms. */
const SILENT_MS = 500;
/** More names than this are not kept. */
const MAX_NAMES = 1_024;

/** Scheme, authority, host and port of a URL whose host is no IP address, and what follows. */
const NAMED = /^(https?):\/\/(?!\[|[\d.]+(?:[:/]|$))(([^/:]+)(?::(\d+))?)(.*)$/s;

interface Named {
  readonly scheme: string;
  readonly authority: string;
  readonly host: string;
  readonly port: number;
  /** Path and query. */
  readonly rest: string;
}

/** Null for a URL whose host is an IP address. */
function readNamed(url: string): Named | null {
  const parts = NAMED.exec(url);
  if (parts === null) return null;
  const [, scheme = "", authority = "", host = "", port, rest = ""] = parts;
  return { scheme, authority, host, port: Number(port ?? (scheme === "https" ? 443 : 80)), rest };
}

interface Known {
  readonly resolvedAtMs: number;
  /** The one to try first stands first. */
  readonly addresses: readonly string[];
  /** Why none of them is connected to. */
  readonly refusal: string | null;
}

interface Resolving {
  readonly known: Promise<Known>;
  /** Resolves once it has taken so long that the name server counts as silent. */
  readonly tooLong: Promise<void>;
}

/** What keeps the names of engines honest; its `fetch` takes the place of the network's. */
export class PinnedFetch {
  readonly #options: PinnedFetchOptions;
  readonly #known = new Map<string, Known>();
  readonly #resolving = new Map<string, Resolving>();

  constructor(options: PinnedFetchOptions) {
    this.#options = options;
  }

  /** As `fetch`; rejects with AddressRefused for a name that leads where no engine may be. */
  readonly fetch: Fetch = (url, init) => {
    const named = readNamed(url);
    if (named === null) return this.#options.fetch(url, init);
    const resolved = this.#resolved(named, init.signal ?? null);
    // Where a certificate has to prove the name, no other address could answer for it.
    if (named.scheme === "https") return resolved.then(() => this.#options.fetch(url, init));
    return resolved.then((known) => this.#fetchFrom(known, named, init));
  };

  /**
   * Whether `check` can connect to where requests for `url` go; if not, they go to another address
   * of its name next. Never rejects if `check` does not.
   */
  async reachable(
    url: string,
    limitMs: number,
    check: (url: string, limitMs: number) => Promise<boolean>,
  ): Promise<boolean> {
    const named = readNamed(url);
    if (named === null) return check(url, limitMs);
    const resolving = this.#resolved(named, AbortSignal.timeout(limitMs));
    const known = await resolving.catch(() => null);
    if (known === null) return false;
    const isReached = await check(named.scheme === "https" ? url : urlAt(known, named), limitMs);
    if (!isReached) this.#tryAnotherNext(known);
    return isReached;
  }

  /** By the address that comes first; one to which no connection can be had is followed by the next. */
  async #fetchFrom(known: Known, named: Named, init: BunFetchRequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("host", named.authority);
    let left = known.addresses.length;
    for (let at = known; ; at = this.#tryAnotherNext(at)) {
      left -= 1;
      try {
        return await this.#options.fetch(urlAt(at, named), { ...init, headers });
      } catch (error) {
        const clientLeft = error instanceof Error && error.name === "AbortError";
        if (clientLeft) throw error;
        const { kind } = classify(error);
        const isFree = left > 0 && (kind === "refused" || kind === "unreachable");
        if (!isFree) {
          this.#tryAnotherNext(at);
          throw error;
        }
      }
    }
  }

  /** Puts the first address last: what is known then. */
  #tryAnotherNext(failed: Known): Known {
    const [first = "", ...others] = failed.addresses;
    const next = { ...failed, addresses: [...others, first] };
    for (const [name, known] of this.#known) if (known === failed) this.#known.set(name, next);
    return next;
  }

  async #resolved({ host, port }: Named, signal: AbortSignal | null): Promise<Known> {
    const name = `${host}:${port}`;
    let known = this.#known.get(name);
    if (known === undefined || this.#options.clock.now() - known.resolvedAtMs >= KEEP_MS) {
      const resolving = this.#resolving.get(name) ?? this.#beginResolving(host, port, known);
      // Its name server may be silent; the address it gave goes on until there is another.
      const waited =
        known === undefined
          ? resolving.known
          : Promise.race([resolving.known, resolving.tooLong.then(() => known)]);
      known = (await (signal === null ? waited : abortable(waited, signal))) ?? known;
    }
    if (known === undefined) throw notResolved(host);
    if (known.refusal !== null) throw new AddressRefused(`${host}: ${known.refusal}`);
    return known;
  }

  #beginResolving(host: string, port: number, before: Known | undefined): Resolving {
    const name = `${host}:${port}`;
    const tooLong = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(SILENT_MS, tooLong.resolve);
    const known = this.#resolve(host, port, before).finally(() => {
      cancel();
      this.#resolving.delete(name);
    });
    // Whoever goes on with the address before does not hear of it.
    known.catch(() => {});
    const resolving = { known, tooLong: tooLong.promise };
    this.#resolving.set(name, resolving);
    return resolving;
  }

  async #resolve(host: string, port: number, before: Known | undefined): Promise<Known> {
    const { clock, resolve, refusal } = this.#options;
    const found = await resolve(host).then(
      (answers) => answers.map(({ address }) => address),
      // A name server that fails for a moment takes no engine away.
      () => before?.addresses ?? [],
    );
    if (found.length === 0) {
      throw notResolved(host);
    }
    const isSame = new Set(before?.addresses).symmetricDifference(new Set(found)).size === 0;
    const known = {
      resolvedAtMs: clock.now(),
      addresses: before !== undefined && isSame ? before.addresses : found,
      refusal: found.map((ip) => refusal(host, ip, port)).find((why) => why !== null) ?? null,
    };
    if (this.#known.size >= MAX_NAMES) this.#known.clear();
    this.#known.set(`${host}:${port}`, known);
    return known;
  }
}

function notResolved(host: string): Error {
  return Object.assign(new Error(`${host} cannot be resolved`), { code: "ENOTFOUND" });
}

/** The URL by the address that comes first. */
function urlAt({ addresses: [address = ""] }: Known, { port, rest }: Named): string {
  return `http://${address.includes(":") ? `[${address}]` : address}:${port}${rest}`;
}

/** `promise`, or the reason of `signal` as soon as it aborts. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
