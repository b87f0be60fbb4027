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
  /** The addresses of a host name, best first; none where there is no such name. Rejects when the name server fails. */
  readonly resolve: (hostname: string) => Promise<readonly { readonly address: string }[]>;
  /** Why the proxy must not connect to an address of `hostname`, as a sentence; null when it may. */
  readonly refusal: (hostname: string, address: string, port: number) => string | null;
  readonly clock: Pick<Clock, "now" | "after">;
}

/** What a name was resolved to counts for this long, ms. */
const KEEP_MS = 5_000;
/** A name server that takes longer than this is not waited for while there is an address that works, ms. */
const SILENT_MS = 500;
/**
 * A name that has had an address goes on by it for this long when it is said that there is no such name, ms: of several
 * name servers one may not know it. Then the address may be somebody else's, who is to get no requests and no key.
 */
const GONE_MS = 30_000;
/** An address to which no connection could be had comes last for this long, ms. */
const SHUN_MS = 30_000;
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
  readonly addresses: readonly string[];
  /** Since when it is said that there is no such name, ms; else null. */
  readonly goneAtMs: number | null;
  readonly use: AddressUse;
  /** Why none of them is connected to. */
  readonly refusal: string | null;
}

interface AddressUse {
  /** Requests so far: each begins with another address. */
  requests: number;
  /** Addresses to which no connection could be had, and until when they come last, ms. */
  readonly shunned: Map<string, number>;
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
    return resolved.then((known) => this.#fetchFrom(known, named, init));
  };

  /**
   * Whether `check` can connect to wherever requests for `url` go; to where it cannot, they go last
   * from then on. Never rejects if `check` does not.
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
    const nowMs = this.#options.clock.now();
    const inUse = known.addresses.filter((address) => !isShunned(address, known.use, nowMs));
    const checks = (inUse.length > 0 ? inUse : known.addresses).map(async (address) => {
      const isReached = await check(urlAt(address, named), limitMs);
      if (!isReached) this.#shun(address, known);
      return isReached;
    });
    return (await Promise.all(checks)).every(Boolean);
  }

  /** By the address whose turn it is; one to which no connection can be had is followed by the next. */
  async #fetchFrom(known: Known, named: Named, init: BunFetchRequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("host", named.authority);
    // The certificate has to prove the name, at whatever address.
    const tls = named.scheme === "https" ? { tls: { serverName: named.host } } : {};
    const addresses = this.#inTurn(known);
    for (let at = 0; ; at += 1) {
      const address = addresses[at] ?? "";
      try {
        return await this.#options.fetch(urlAt(address, named), { ...init, ...tls, headers });
      } catch (error) {
        const clientLeft = error instanceof Error && error.name === "AbortError";
        if (clientLeft) throw error;
        this.#shun(address, known);
        const { kind } = classify(error);
        const isFree = kind === "refused" || kind === "unreachable" || kind === "untrusted";
        if (!isFree || at + 1 >= addresses.length) throw error;
      }
    }
  }

  /** All addresses: those that are well take turns, the others come last. */
  #inTurn({ addresses, use }: Known): readonly string[] {
    if (addresses.length === 1) return addresses;
    const nowMs = this.#options.clock.now();
    const shunned = addresses.filter((address) => isShunned(address, use, nowMs));
    const well = addresses.filter((address) => !shunned.includes(address));
    const first = well.length === 0 ? 0 : use.requests % well.length;
    use.requests += 1;
    return [...well.slice(first), ...well.slice(0, first), ...shunned];
  }

  /** Of a name that has one address there is nothing to choose. */
  #shun(address: string, { addresses, use }: Known): void {
    if (addresses.length > 1) use.shunned.set(address, this.#options.clock.now() + SHUN_MS);
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
      () => null,
    );
    const nowMs = clock.now();
    const goneAtMs = found?.length === 0 ? (before?.goneAtMs ?? nowMs) : null;
    const isNews = found !== null && (goneAtMs === null || nowMs - goneAtMs >= GONE_MS);
    const addresses = isNews ? found : (before?.addresses ?? []);
    if (addresses.length === 0) {
      this.#known.delete(`${host}:${port}`);
      throw notResolved(host);
    }
    const isSame = new Set(before?.addresses).symmetricDifference(new Set(addresses)).size === 0;
    const kept = isSame ? before : undefined;
    const known = {
      resolvedAtMs: nowMs,
      addresses: kept?.addresses ?? addresses,
      goneAtMs: found === null ? (before?.goneAtMs ?? null) : goneAtMs,
      use: kept?.use ?? { requests: 0, shunned: new Map<string, number>() },
      refusal: addresses.map((ip) => refusal(host, ip, port)).find((why) => why !== null) ?? null,
    };
    if (this.#known.size >= MAX_NAMES) this.#known.clear();
    this.#known.set(`${host}:${port}`, known);
    return known;
  }
}

function notResolved(host: string): Error {
  return Object.assign(new Error(`${host} cannot be resolved`), { code: "ENOTFOUND" });
}

function isShunned(address: string, { shunned }: AddressUse, nowMs: number): boolean {
  return (shunned.get(address) ?? 0) > nowMs;
}

/** The URL by one of the addresses. */
function urlAt(address: string, { scheme, port, rest }: Named): string {
  return `${scheme}://${address.includes(":") ? `[${address}]` : address}:${port}${rest}`;
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
