/**
 * Clients that send nothing more of a body until they are told to go on (RFC 9110 §10.1.1). Bun 1.4.5 tells those
 * who ask by `100-continue` in small letters. PHP's Guzzle, for bodies from 1 MB on, and Java's HttpClient write
 * `100-Continue`, which means the same: the one would wait for a second, the other for good. Bun has no call for it, so
 * the line is written to the client's socket behind its back, where nothing else has been written since the answer
 * before. Linux, and no TLS, of which Bun alone has the keys. Not for what another proxy relays: Caddy says it itself and
 * hands on ours as well, and Java's client takes the second for the answer.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readdirSync, writeSync } from "node:fs";
import { parseAddress } from "../core/address/cidr.ts";

const GO_ON = "HTTP/1.1 100 Continue\r\n\r\n";
/** How Bun wants it. */
const HEARD_BY_BUN = "100-continue";
/** The end of a connection of any family fits: sockaddr of ip(7) and ipv6(7). */
const END_BYTES = 128;
/** Behind the family, in IPv4 as in IPv6. */
const PORT_AT = 2;
const AF_INET = 2;

/** The other end of a client's connection. */
export interface Peer {
  readonly address: string;
  readonly port: number;
}

/** Whether the client waits for a word that Bun does not say. */
export function waitsUnheard(headers: Headers): boolean {
  const expected = headers.get("expect");
  if (expected === null || expected === HEARD_BY_BUN) return false;
  return expected.toLowerCase() === HEARD_BY_BUN;
}

/** Makes what tells a client of `port` to go on; where the system has no such calls, that does nothing. */
export function createGoOn(): (port: number, client: Peer | null) => void {
  let libc: Libc | null = null;
  return (port, client) => {
    if (client === null) return;
    try {
      libc ??= loadLibc();
      const fd = connectionOf(port, client, libc);
      if (fd !== null) writeSync(fd, GO_ON);
    } catch {
      // The client may send its body all the same.
    }
  };
}

function loadLibc() {
  const { i32, ptr: pointer } = FFIType;
  // Musl answers to this name, too.
  return dlopen("libc.so.6", {
    getsockname: { args: [i32, pointer, pointer], returns: i32 },
    getpeername: { args: [i32, pointer, pointer], returns: i32 },
  }).symbols;
}

type Libc = ReturnType<typeof loadLibc>;

function connectionOf(port: number, client: Peer, libc: Libc): number | null {
  const wanted = parseAddress(client.address)?.toNormalizedString();
  const isWanted = (fd: number) => {
    const theirs = endBy(libc.getpeername, fd);
    if (theirs?.getUint16(PORT_AT) !== client.port) return false;
    if (endBy(libc.getsockname, fd)?.getUint16(PORT_AT) !== port) return false;
    return parseAddress(addressOf(theirs))?.toNormalizedString() === wanted;
  };
  return readdirSync("/proc/self/fd").map(Number).find(isWanted) ?? null;
}

/** Null for what is no socket, or is not connected. */
function endBy(ask: Libc["getpeername"], fd: number): DataView | null {
  const end = new DataView(new ArrayBuffer(END_BYTES));
  const length = new Uint32Array([END_BYTES]);
  return ask(fd, ptr(end), ptr(length)) === 0 ? end : null;
}

function addressOf(end: DataView): string {
  const isV4 = end.getUint16(0, true) === AF_INET;
  if (isV4) return [4, 5, 6, 7].map((at) => end.getUint8(at)).join(".");
  return [8, 10, 12, 14, 16, 18, 20, 22].map((at) => end.getUint16(at).toString(16)).join(":");
}
