import { parseAddress } from "../core/address/cidr.ts";
import { ProxyError } from "../core/errors.ts";
import { type Peer, saysRelayed } from "./peers.ts";

/**
 * Who may call a route. `anybody`: whoever reaches the port. `client`: holders of an API key, or
 * anybody while there is none. `administrator`: holders of the admin key, and no other site's page.
 * `engine`: administrators, and peers inside `--trust-nodes` without a key.
 */
export type Who = "anybody" | "client" | "administrator" | "engine";

/** Keys that count here. */
export interface AccessKeys {
  /** Keys for inference, each `KEY` or `NAME:KEY`; empty: open to all. */
  readonly apiKeys: readonly string[];
  /** Key for administration; null: an API key does, and without those it is open. */
  readonly adminKey: string | null;
}

export interface AccessOptions extends AccessKeys {
  /** Whether a peer's address may register nodes without a key. */
  readonly trusts: (peerAddress: string) => boolean;
  /** Names under which browsers may administer without a key, beside addresses and localhost. */
  readonly adminHosts: readonly string[];
  /** Whether engines get the clients' keys, which they know too. */
  readonly forwards: boolean;
}

/** Headers with more words than this hold no key of anybody's, and looking each up costs. */
const MOST_CREDENTIALS = 32;

/** Who may do what: clients by API key, administrators by the admin key, engines by their address. */
export class Access {
  #apiKeys: readonly NamedKey[] = [];
  #adminKeys: readonly Buffer[] = [];
  readonly #trusts: (peerAddress: string) => boolean;
  readonly #adminHosts: ReadonlySet<string>;
  readonly #forwards: boolean;
  /** Those that no engine gets, beside the clients'. */
  #keptKeys: readonly Buffer[] = [];

  constructor(options: AccessOptions) {
    this.use(options);
    this.#forwards = options.forwards;
    this.#trusts = options.trusts;
    this.#adminHosts = new Set(options.adminHosts.map((name) => name.toLowerCase()));
  }

  /** From now on these keys count, and no others. */
  use({ apiKeys, adminKey }: AccessKeys): void {
    this.#apiKeys = apiKeys.flatMap(namedKeys);
    this.#adminKeys =
      adminKey === null ? this.#apiKeys.map(({ digest }) => digest) : [digest(adminKey)];
    this.#keptKeys = adminKey === null ? [] : this.#adminKeys;
  }

  /**
   * Whether a request's credentials are for us and do not go to engines: always when clients need a
   * key that engines do not know, otherwise when somebody sends the admin key where none is needed.
   */
  areOurs(headers: Headers): boolean {
    if (this.#apiKeys.length > 0 && !this.#forwards) return true;
    if (this.#keptKeys.length === 0) return false;
    const sent = credentials(headers);
    return (
      sent.length > MOST_CREDENTIALS || sent.some((key) => isOneOf(digest(key), this.#keptKeys))
    );
  }

  /** The name of the API key with this digest; null when there is none. Takes one time whatever was sent. */
  #nameOf(key: Buffer): string | null {
    let found: string | null = null;
    for (const { name, digest } of this.#apiKeys) {
      if (crypto.timingSafeEqual(key, digest)) found = name;
    }
    return found;
  }

  #isAdminKey(key: string): boolean {
    return isOneOf(digest(key), this.#adminKeys);
  }

  /**
   * Lets those pass who may call a route, and names the caller, for limits.
   * @throws ProxyError invalid_api_key, or forbidden for a page of another site in a browser.
   */
  admit(who: Who, request: Request, peer: Peer): string {
    switch (who) {
      case "anybody":
        return peer.address ?? "";
      case "client":
        return this.#client(request, peer);
      case "engine":
        return this.#registration(request, peer);
      case "administrator":
        return this.#admin(request, peer);
      default:
        who satisfies never;
        throw new ProxyError("forbidden", "Nobody may call this.");
    }
  }

  /** A client's name, which may be shown: its key's (`key:NAME`), else its address. */
  #client(request: Request, peer: Peer): string {
    if (this.#apiKeys.length === 0) return peer.address ?? "";
    const presented = presentedKeys(request.headers);
    for (const one of presented) {
      const name = this.#nameOf(digest(one));
      if (name !== null) return `key:${name}`;
    }
    throw unauthorized("API key", presented);
  }

  #admin(request: Request, peer: Peer): string {
    refuseOtherPages(request.headers);
    if (this.#adminKeys.length === 0) this.#refuseRebound(request.headers);
    else {
      const presented = presentedKeys(request.headers);
      if (!presented.some((key) => this.#isAdminKey(key))) {
        throw unauthorized("admin key", presented);
      }
    }
    return peer.address ?? "";
  }

  /** Engines send no key when they register, and come straight or by way of proxies we know. */
  #registration(request: Request, peer: Peer): string {
    const { headers } = request;
    refuseOtherPages(headers);
    const { address } = peer;
    const isKnown = peer.isTrustedProxy || !saysRelayed(headers);
    const hasKey = presentedKeys(headers).length > 0;
    if (!hasKey && isKnown && address !== null && this.#trusts(address)) {
      this.#refuseRebound(headers);
      return address;
    }
    if (!isKnown && this.#adminKeys.length === 0) {
      throw new ProxyError("forbidden", RELAYED_REGISTRATION);
    }
    return this.#admin(request, peer);
  }

  /**
   * A page whose name was made to lead to this address is of the same origin for its browser (DNS
   * rebinding). Where no key protects, a browser has to have come by an address or a name we know.
   */
  #refuseRebound(headers: Headers): void {
    if (!isBrowsers(headers)) return;
    const name = (headers.get("host") ?? "").replace(/:\d*$/, "").toLowerCase();
    if (parseAddress(name) !== null || /^(?:.*\.)?localhost\.?$/.test(name)) return;
    if (this.#adminHosts.has(name)) return;
    throw new ProxyError(
      "forbidden",
      "Without an admin key, a browser may administer this proxy under its address or localhost " +
        "only; start it with --admin-key, or name this host with --admin-hosts.",
    );
  }
}

interface NamedKey {
  readonly name: string;
  readonly digest: Buffer;
}

/**
 * `team-a:KEY` is KEY with a name; one without has its number among all of them. The whole is a key as
 * well: it may be one that happens to hold a colon.
 */
function namedKeys(given: string, at: number): NamedKey[] {
  const [, name, key] = NAMED_KEY.exec(given) ?? [];
  if (name === undefined || key === undefined)
    return [{ name: `${at + 1}`, digest: digest(given) }];
  return [key, given].map((one) => ({ name, digest: digest(one) }));
}

const NAMED_KEY = /^(?!sk-)([a-z0-9][\w.-]{0,31}):(.+)$/i;

/** The key of `KEY` or `NAME:KEY`. */
export function bareKey(given: string): string {
  return NAMED_KEY.exec(given)?.[2] ?? given;
}

const RELAYED_REGISTRATION =
  "This came through a proxy that is not trusted, and registers nothing without a key: name the proxy " +
  "with --trusted-proxies, or start this one with --admin-key.";

/** Over plain http to names other than localhost, browsers send neither `Origin` with a GET nor `Sec-Fetch-*`. */
function isBrowsers(headers: Headers): boolean {
  return (
    headers.has("origin") ||
    headers.has("sec-fetch-site") ||
    headers.has("sec-fetch-mode") ||
    /^Mozilla\//.test(headers.get("user-agent") ?? "")
  );
}

/**
 * A browser sends what any page asks for, from inside the network and from a trusted address: only
 * the proxy's own pages may administer.
 */
function refuseOtherPages(headers: Headers): void {
  if (isFromOtherPage(headers)) {
    throw new ProxyError("forbidden", "Other sites' pages may not administer this proxy.");
  }
}

/** As far as browsers tell: to plain http addresses beside localhost they send no `Sec-Fetch-Site`. */
function isFromOtherPage(headers: Headers): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null) return site !== "same-origin" && site !== "none";
  const origin = headers.get("origin");
  return origin !== null && origin.replace(/^https?:\/\//, "") !== headers.get("host");
}

/** The keys in `Authorization: Bearer` and, as Anthropic's clients send it, in `x-api-key`: a right one counts in either. */
function presentedKeys(headers: Headers): readonly string[] {
  const authorization = headers.get("authorization");
  const bearer = authorization === null ? null : /^Bearer +(\S+) *$/i.exec(authorization);
  return [bearer?.[1], headers.get("x-api-key")].filter(
    (key): key is string => typeof key === "string" && key !== "",
  );
}

/** Whatever stands in the headers that hold keys, however it is put there. */
function credentials(headers: Headers): string[] {
  const values = [headers.get("authorization"), headers.get("x-api-key")];
  return values.flatMap((value) => value?.split(/[\s,]+/) ?? []);
}

/** Digests have one length, so that comparing them takes one time whatever was sent. */
function digest(key: string): Buffer {
  return Bun.CryptoHasher.hash("sha256", key);
}

function isOneOf(key: Buffer, known: readonly Buffer[]): boolean {
  let found = false;
  for (const other of known) found = crypto.timingSafeEqual(key, other) || found;
  return found;
}

/** Tells a wrong key from none, to Anthropic's clients in the words they know. */
function unauthorized(what: string, presented: readonly string[]): ProxyError {
  if (presented.length === 0) {
    return new ProxyError(
      "invalid_api_key",
      `This needs an ${what}: send it as \`Authorization: Bearer KEY\`.`,
      { anthropicMessage: `x-api-key header is required: send an ${what} in it.` },
    );
  }
  return new ProxyError(
    "invalid_api_key",
    `Incorrect ${what} provided: it is none of those that this proxy was started with.`,
    { anthropicMessage: `invalid x-api-key: it is no ${what} of this proxy.` },
  );
}
