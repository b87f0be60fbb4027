/** One spelling for each node: registering an engine twice must not make two nodes of it. */

import { ProxyError } from "../errors.ts";
import { type Address, parseAddress } from "./cidr.ts";

export interface NodeUrlOptions {
  /** Where the registration came from: the engine's host when its URL names only a bind address. */
  readonly peerAddress?: string | null;
  /** Addresses of this machine's interfaces: an engine on them is reached over loopback. */
  readonly localAddresses?: readonly string[];
}

const MAX_URL_CHARS = 2048;
const EXAMPLE = "http://10.0.0.7:23333";

/**
 * The normal form of a node's base URL: scheme, host and port as the WHATWG URL standard writes them
 * (lower case, IDNA, no default port, IPv4 in four decimal parts also when mapped into IPv6), a path
 * if it has one, no slash at the end.
 *
 * A host of 0.0.0.0 or [::] is an address to bind, not to connect to: it becomes `peerAddress`, or, when that is
 * missing or this machine's own, 127.0.0.1 or [::1]: what listens on [::] may do so on IPv6 alone, as uvicorn does.
 *
 * @throws ProxyError invalid_request (param `url`) that says what would be right.
 */
export function normaliseNodeUrl(input: string, options: NodeUrlOptions = {}): string {
  if (input.length > MAX_URL_CHARS) {
    throw refused(`A node's URL is longer than ${MAX_URL_CHARS} characters.`);
  }
  if (/[^\x21-\x7e\u0080-\uffff]|[\s\\]/.test(input)) {
    throw refused("A node's URL must not hold blanks, control characters or backslashes.");
  }
  // From here on it is repeated in what is said: keys stand in these two places.
  if (/^(?:[a-z][a-z\d+.-]*:)?\/*[^/?#]*@/i.test(input)) {
    throw refused("A node's URL must not hold credentials. Leave out what stands before the @.");
  }
  if (/[?#]/.test(input)) {
    const base = input.replace(/[?#].*/, "");
    throw refused(`"${base}" is followed by a query or fragment. Give the base URL alone.`);
  }
  if (!/^https?:\/\/[^/]/i.test(input)) throw wrongScheme(input);
  const url = URL.parse(input);
  if (url === null || url.hostname.length > 255 || url.port === "0") {
    throw refused(`"${input}" has no valid host and port. Write a URL such as ${EXAMPLE}.`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  const base = `${url.protocol}//${hostOf(url, options)}${url.port === "" ? "" : `:${url.port}`}`;
  if (path.endsWith("/v1")) {
    throw refused(
      `"${input}" ends in /v1, which requests bring along. Write ${base}${path.slice(0, -3)}.`,
    );
  }
  return `${base}${path}`;
}

/** The host to connect to, an IPv6 address in brackets. */
function hostOf(url: URL, options: NodeUrlOptions): string {
  const literal = parseAddress(url.hostname);
  if (literal === null) return url.hostname;
  if (!isBindAddress(literal)) return bracketed(literal);
  const peer = parseAddress(options.peerAddress ?? "");
  const loopback = literal.kind() === "ipv4" ? "127.0.0.1" : "[::1]";
  if (peer === null || peer.range() === "loopback" || isBindAddress(peer)) return loopback;
  const peerText = peer.toString();
  const isOurs = options.localAddresses?.some((own) => parseAddress(own)?.toString() === peerText);
  return isOurs === true ? loopback : bracketed(peer);
}

/** Whether it means "any of my addresses": 0.0.0.0 or [::]. */
function isBindAddress(address: Address): boolean {
  return address.toByteArray().every((byte) => byte === 0);
}

function bracketed(address: Address): string {
  return address.kind() === "ipv4" ? address.toString() : `[${address.toString()}]`;
}

function wrongScheme(input: string): ProxyError {
  const scheme = /^([a-z][a-z\d+.-]*):\/\//i.exec(input)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    return refused(`"${input}" is not a URL. Write it with its scheme, such as ${EXAMPLE}.`);
  }
  return scheme === "http" || scheme === "https"
    ? refused(`"${input}" names no host. Write a URL such as ${EXAMPLE}.`)
    : refused(
        `Nodes are reached over http or https, not ${scheme}. Write a URL such as ${EXAMPLE}.`,
      );
}

function refused(message: string): ProxyError {
  return new ProxyError("invalid_request", message, { param: "url" });
}
