/** IP addresses and ranges of them, as written in flags and told by sockets. */
import ipaddr from "ipaddr.js";
import { ProxyError } from "../errors.ts";

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

export interface Cidr {
  readonly address: Address;
  /** Leading bits that have to be equal: 0 to 32 for IPv4, 0 to 128 for IPv6. */
  readonly prefixBits: number;
}

/**
 * The address that `text` spells, without brackets or zone; null when it is none. IPv4 only in four
 * decimal parts. An IPv4 address mapped into IPv6 (`::ffff:10.0.0.1`, as dual-stack sockets name
 * their peers) is the IPv4 address.
 */
export function parseAddress(text: string): Address | null {
  const bare = text.replace(/^\[(.*)\]$/, "$1").replace(/%.*$/, "");
  if (ipaddr.IPv4.isValidFourPartDecimal(bare)) return ipaddr.IPv4.parse(bare);
  if (!bare.includes(":") || !ipaddr.IPv6.isValid(bare)) return null;
  const address = ipaddr.IPv6.parse(bare);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/**
 * The range that `text` (`10.0.0.0/8`, `fd00::/8`, or one address) stands for.
 *
 * @throws ProxyError invalid_request when it is none.
 */
export function parseCidr(text: string): Cidr {
  const [network = "", prefix, ...rest] = text.trim().split("/");
  const address = parseAddress(network);
  if (address === null || rest.length > 0) throw notACidr(text);
  const maxBits = address.kind() === "ipv4" ? 32 : 128;
  if (prefix === undefined) return { address, prefixBits: maxBits };
  const isMapped = maxBits === 32 && network.includes(":");
  const prefixBits = Number(prefix) - (isMapped ? 96 : 0);
  if (!/^\d{1,3}$/.test(prefix) || prefixBits < 0 || prefixBits > maxBits) throw notACidr(text);
  return { address, prefixBits };
}

/** Whether the address `ip` lies in one of `cidrs`; false for what is no address. */
export function inCidrs(ip: string, cidrs: readonly Cidr[]): boolean {
  const address = parseAddress(ip);
  return address !== null && cidrs.some((cidr) => contains(cidr, address));
}

/** Whether `address` lies in `cidr`; never across the two families. */
export function contains(cidr: Cidr, address: Address): boolean {
  return cidr.address.kind() === address.kind() && address.match(cidr.address, cidr.prefixBits);
}

/** Who may register engines without a key unless `--trust-nodes` says otherwise. */
export const LOCAL_AND_PRIVATE: readonly string[] = [
  "127.0.0.0/8",
  "::1/128",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "fc00::/7",
];

function notACidr(text: string): ProxyError {
  return new ProxyError(
    "invalid_request",
    `"${text}" is not a range of addresses. Write one such as 10.0.0.0/8, fd00::/8 or 10.0.0.7.`,
  );
}
