/**
 * Where the proxy is willing to connect to (against server-side request forgery: whoever may add a
 * node must not thereby read a cloud's metadata service or loop the proxy into itself).
 *
 * Link-local and metadata addresses and the proxy itself are always refused, in every spelling and
 * inside every IPv6 form that carries an IPv4 address. Loopback and private addresses are allowed:
 * engines live there. A name says nothing for sure: its addresses are judged whenever it is resolved.
 */
import ipaddr from "ipaddr.js";
import { ProxyError } from "../errors.ts";
import { type Address, type Cidr, contains, parseAddress, parseCidr } from "./cidr.ts";

/** A node's name leads to an address that the policy refuses; nothing was sent there. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";
}

/** One value of `--allow-nodes`. */
export type AllowRule =
  | { readonly kind: "addresses"; readonly cidr: Cidr }
  | { readonly kind: "host"; readonly pattern: RegExp };

export interface AddressPolicy {
  /** The port the proxy listens on. */
  readonly proxyPort: number;
  /** Addresses of this machine's interfaces; loopback need not be among them. */
  readonly localAddresses: readonly string[];
  /** If there are any, only what one of them names is allowed. */
  readonly allow: readonly AllowRule[];
}

/**
 * Reads a value of `--allow-nodes`: a range (`10.0.0.0/8`), an address, a host name, or a pattern in
 * which `*` stands for one or more characters (`*.example.com`).
 *
 * @throws ProxyError invalid_request when it is none of these.
 */
export function parseAllowRule(text: string): AllowRule {
  const value = text.trim();
  if (value.includes("/") || parseAddress(value) !== null) {
    return { kind: "addresses", cidr: parseCidr(value) };
  }
  const host = URL.parse(`http://${value}`)?.hostname;
  if (!host || !/^[^@:?#[\]]+$/.test(value) || parseAddress(host) !== null) {
    throw new ProxyError(
      "invalid_request",
      `"${text}" names no nodes. Write a range such as 10.0.0.0/8, a host, or *.example.com.`,
    );
  }
  const source = bareName(host).split("*").map(RegExp.escape).join(".+");
  return { kind: "host", pattern: new RegExp(`^${source}$`) };
}

/** Ranges that hold no engine, with what they are. */
const REFUSED: readonly (readonly [Cidr, string])[] = (
  [
    ["169.254.0.0/16", "a link-local address, where clouds keep their metadata services"],
    ["fe80::/10", "a link-local address"],
    ["100.100.100.200", "Alibaba Cloud's metadata service"],
    ["192.0.0.192", "Oracle Cloud's metadata service"],
    ["168.63.129.16", "Azure's platform service"],
    ["fd00:ec2::254", "Amazon's metadata service"],
    ["fd20:ce::254", "Google's metadata service"],
    ["fd00:42::42", "Scaleway's metadata service"],
    ["0.0.0.0/8", "an unspecified address"],
    ["::/128", "an unspecified address"],
    ["224.0.0.0/4", "a multicast address"],
    ["ff00::/8", "a multicast address"],
    ["255.255.255.255", "the broadcast address"],
  ] as const
).map(([cidr, what]) => [parseCidr(cidr), what]);

const METADATA_NAMES: ReadonlySet<string> = new Set([
  "metadata",
  "metadata.goog",
  "metadata.google.internal",
  "metadata.azure.internal",
  "metadata.tencentyun.com",
  "instance-data",
  "instance-data.ec2.internal",
]);

const LOOPBACK: readonly Cidr[] = ["127.0.0.0/8", "::1"].map(parseCidr);

/**
 * IPv6 ranges that carry an IPv4 address, the byte it begins at, and what its bytes are XORed with.
 * IPv4-compatible and -mapped (RFC 4291), SIIT (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4
 * (RFC 3056), Teredo's server and client (RFC 4380).
 */
const CARRIERS: readonly (readonly [Cidr, number, number])[] = (
  [
    ["::/96", 12, 0],
    ["::ffff:0:0:0/96", 12, 0],
    ["64:ff9b::/96", 12, 0],
    ["64:ff9b:1::/48", 12, 0],
    ["2002::/16", 2, 0],
    ["2001::/32", 4, 0],
    ["2001::/32", 12, 0xff],
  ] as const
).map(([cidr, at, mask]) => [parseCidr(cidr), at, mask]);

/** Why the proxy must not connect to `ip`:`port`, as a sentence; null when it may. `hostName` is the
 * name that was resolved to `ip`, if any: a pattern that allows it allows its addresses. */
export function judgeAddress(
  ip: string,
  port: number,
  policy: AddressPolicy,
  hostName: string | null = null,
): string | null {
  const address = parseAddress(ip);
  if (address === null) return `${ip} is not an IP address.`;
  for (const form of [address, ...carriedAddresses(address)]) {
    const range = REFUSED.find(([cidr]) => contains(cidr, form));
    if (range !== undefined) return `${ip} is ${range[1]}, never an engine.`;
    if (port === policy.proxyPort && isLocal(form, policy)) {
      return `${ip}:${port} is this proxy itself. Name the engine's own port.`;
    }
  }
  const isAllowed =
    policy.allow.length === 0 ||
    (hostName !== null && isAllowedName(hostName, policy)) ||
    policy.allow.some((rule) => rule.kind === "addresses" && contains(rule.cidr, address));
  return isAllowed ? null : `${ip} is not among the addresses that --allow-nodes names.`;
}

/**
 * Why no node may have the URL `url` (as `normaliseNodeUrl` returns it), as a sentence; null when
 * nothing speaks against it yet. Decides for address literals; the addresses of a name have to be
 * judged by `judgeAddress` whenever it is resolved.
 */
export function judgeHost(url: string, policy: AddressPolicy): string | null {
  const parsed = new URL(url);
  const port = Number(parsed.port) || (parsed.protocol === "https:" ? 443 : 80);
  const literal = parseAddress(parsed.hostname);
  if (literal !== null) return judgeAddress(literal.toString(), port, policy);
  const name = bareName(parsed.hostname);
  if (METADATA_NAMES.has(name)) return `${name} is a cloud's metadata service, never an engine.`;
  if (port === policy.proxyPort && /(^|\.)localhost$/.test(name)) {
    return `${name}:${port} is this proxy itself. Name the engine's own port.`;
  }
  const mayStillMatch =
    policy.allow.length === 0 || policy.allow.some(({ kind }) => kind === "addresses");
  if (mayStillMatch || isAllowedName(name, policy)) return null;
  return `${name} is not among the hosts that --allow-nodes names.`;
}

function isAllowedName(name: string, policy: AddressPolicy): boolean {
  const bare = bareName(name);
  return policy.allow.some((rule) => rule.kind === "host" && rule.pattern.test(bare));
}

/** A name as it is compared: lower case, without the dot of the root. */
function bareName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function isLocal(address: Address, policy: AddressPolicy): boolean {
  if (LOOPBACK.some((cidr) => contains(cidr, address))) return true;
  const text = address.toString();
  return policy.localAddresses.some((local) => parseAddress(local)?.toString() === text);
}

/** The IPv4 addresses that an IPv6 address may lead to. */
function carriedAddresses(address: Address): ipaddr.IPv4[] {
  if (address.kind() === "ipv4") return [];
  const bytes = address.toByteArray();
  const carried = CARRIERS.filter(([cidr]) => contains(cidr, address)).map(([, at, mask]) =>
    bytes.slice(at, at + 4).map((byte) => byte ^ mask),
  );
  // ISATAP (RFC 5214) puts it behind 0000:5efe or 0200:5efe, under any prefix.
  const isIsatap = ((bytes[8] ?? 0) & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e;
  if (isIsatap && bytes[11] === 0xfe) carried.push(bytes.slice(12));
  const isOne = address.toString() === "::1" || address.toString() === "::";
  return isOne ? [] : carried.map((octets) => new ipaddr.IPv4(octets));
}
