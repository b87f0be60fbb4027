/**
 * What the kernel has to be told of a listening socket so that another process can take its place
 * with no connection refused or reset. Linux; Bun 1.4.5 has no calls for it.
 *
 * Closing a listener resets what waits in its accept queue and whose handshake is under way, and Bun's
 * `server.stop(false)` closes idle connections too, on which the next request may be on its way. So
 * another process joins the port, new connections are led to it, what had begun here is accepted, and
 * then this socket alone is closed; Bun goes on serving the connections it has.
 *
 * Options: socket(7). The program that chooses among the sockets of a port is one of classic BPF
 * (linux/filter.h); its answer is a place in the order in which they began to listen. The last one takes
 * the place of one that closes. Where there is none at that place, the kernel chooses by itself.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import type { Place } from "../cluster/listener-order.ts";

const SOL_SOCKET = 1;
const SO_REUSEPORT = 15;
const SO_ATTACH_FILTER = 26;
const SO_ACCEPTCONN = 30;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const SO_BINDTOIFINDEX = 62;
/** No network device has this number. */
const NO_DEVICE = 0x7fff_ffff;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
/** Of a listening socket, what waits in its accept queue stands there (tcp(7), linux/tcp.h: `tcpi_unacked`). */
const TCP_INFO_WAITING = 24;
/** Of a connection, how much has come over it (`tcpi_bytes_received`), 8 bytes. */
const TCP_INFO_RECEIVED = 128;
const TCP_INFO_BYTES = 136;
/** States in `/proc/net/tcp` (net/tcp_states.h): its handshake has begun; it listens. */
const BEGINS = "03";
const LISTENS = "0A";
/** An address of any family fits. */
const ADDRESS_BYTES = 128;

const LD_W_ABS = 0x20;
const LD_B_ABS = 0x30;
const ALU_MOD_K = 0x94;
const JMP_JEQ_K = 0x15;
const JMP_JGE_K = 0x35;
const JMP_JSET_K = 0x45;
const ALU_ADD_K = 0x04;
const RET_A = 0x16;
const RET_K = 0x06;
/** No listener has this place. */
const NOWHERE = 0xffff_ffff;
/** Where a filter finds the flags of a segment, the one that begins a connection, and how much of it is taken. */
const TCP_FLAGS = 13;
const SYN = 0x02;
const ALL_BYTES = 0xffff_ffff;
/** Where a program finds a random number. */
const RANDOM = 0xffff_f000 + 56;

function loadLibc() {
  const { i32, u32, ptr: pointer } = FFIType;
  // Musl answers to this name, too.
  return dlopen("libc.so.6", {
    setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
    getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
    getsockname: { args: [i32, pointer, pointer], returns: i32 },
    dup2: { args: [i32, i32], returns: i32 },
  }).symbols;
}

type Libc = ReturnType<typeof loadLibc>;

export class ListeningSocket {
  readonly #fd: number;
  readonly #libc: Libc;

  private constructor(fd: number, libc: Libc) {
    this.#fd = fd;
    this.#libc = libc;
  }

  /**
   * Those of this process that listen on `port`, whatever the address.
   * @throws Error where the system is none that has the calls.
   */
  static on(port: number): ListeningSocket[] {
    const libc = loadLibc();
    return readdirSync("/proc/self/fd")
      .map(Number)
      .filter((fd) => portOf(fd, libc) === port)
      .map((fd) => new ListeningSocket(fd, libc));
  }

  /** From now on processes of the same user that ask for it may listen on its port, too. @throws Error */
  share(): void {
    this.#set(SO_REUSEPORT, new Int32Array([1]));
  }

  /** Leads new connections to others of its port, of which there are some, evenly. @throws Error */
  leadAway({ of, at }: Place): void {
    this.#attach([
      [LD_W_ABS, 0, 0, RANDOM],
      [ALU_MOD_K, 0, 0, of - 1],
      [JMP_JGE_K, 0, 1, at],
      [ALU_ADD_K, 0, 0, 1],
      [RET_A, 0, 0, 0],
    ]);
  }

  /** Leads new connections to those of its port that have these places, evenly. @throws Error */
  leadTo(places: readonly number[]): void {
    this.#attach([
      [LD_W_ABS, 0, 0, RANDOM],
      [ALU_MOD_K, 0, 0, places.length],
      ...places.flatMap((place, at): Instruction[] => [
        [JMP_JEQ_K, 0, 1, at],
        [RET_K, 0, 0, place],
      ]),
      [RET_K, 0, 0, NOWHERE],
    ]);
  }

  /**
   * Takes no new connection, and keeps those that have begun. Who asks for one is refused: the socket is bound to a
   * device that there is none of, which anybody may do (Linux 5.7). As long as others of its port take connections,
   * some are given to it all the same: a filter drops these, who ask again after a second. That takes CAP_NET_ADMIN
   * in kernels of 2026, and is done where it may be. @throws Error
   */
  takeNoMore(): void {
    const noneNew = instructions([
      [LD_B_ABS, 0, 0, TCP_FLAGS],
      [JMP_JSET_K, 0, 1, SYN],
      [RET_K, 0, 0, 0],
      [RET_K, 0, 0, ALL_BYTES],
    ]);
    const isFiltered = this.#takes(SO_ATTACH_FILTER, headerOf(noneNew));
    const isBound = this.#takes(SO_BINDTOIFINDEX, new Int32Array([NO_DEVICE]));
    if (!isFiltered && !isBound) throw new Error("this system lets a listening socket take all");
  }

  /** How many connections have yet to be accepted. */
  get waiting(): number {
    return tcpInfo(this.#fd, this.#libc).getUint32(TCP_INFO_WAITING, true);
  }

  #attach(steps: readonly Instruction[]): void {
    const program = instructions(steps);
    this.#set(SO_ATTACH_REUSEPORT_CBPF, headerOf(program));
  }

  /** Leads new connections to all of its port, as the kernel likes. @throws Error */
  leadToAll(): void {
    this.#attach([[RET_K, 0, 0, NOWHERE]]);
  }

  /** Closes it behind Bun's back, which would close idle connections with it. */
  close(): void {
    const nothing = openSync("/dev/null", "r");
    this.#libc.dup2(nothing, this.#fd);
    closeSync(nothing);
  }

  #set(option: number, value: Int32Array | Uint8Array): void {
    if (this.#takes(option, value)) return;
    throw new Error(`this system refuses option ${option} of a listening socket`);
  }

  #takes(option: number, value: Int32Array | Uint8Array): boolean {
    const { setsockopt } = this.#libc;
    return setsockopt(this.#fd, SOL_SOCKET, option, ptr(value), value.byteLength) === 0;
  }
}

/** Connections that clients have to this process at `port`. @throws Error */
export function connectionsAt(port: number): number {
  const libc = loadLibc();
  const isConnection = (fd: number) => localPort(fd, libc) === port && portOf(fd, libc) === null;
  return readdirSync("/proc/self/fd").map(Number).filter(isConnection).length;
}

/** Whether some client is connected to this process at `port` that has sent nothing yet. @throws Error */
export function someSilentAt(port: number): boolean {
  const libc = loadLibc();
  const isSilent = (fd: number) =>
    localPort(fd, libc) === port &&
    portOf(fd, libc) === null &&
    tcpInfo(fd, libc).getBigUint64(TCP_INFO_RECEIVED, true) === 0n;
  return readdirSync("/proc/self/fd").map(Number).some(isSilent);
}

function tcpInfo(fd: number, libc: Libc): DataView {
  const info = new DataView(new ArrayBuffer(TCP_INFO_BYTES));
  const length = new Uint32Array([TCP_INFO_BYTES]);
  libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, ptr(info), ptr(length));
  return info;
}

/** How many sockets listen at `port`, of all processes; null where this system does not tell. */
export function listenersAt(port: number): number | null {
  return countAt(port, LISTENS);
}

/**
 * Whether some client has begun to connect to `port`, of whichever process. Bun has the kernel keep back who says
 * nothing, for a second (TCP_DEFER_ACCEPT): for the client the connection stands, and here nothing else shows it.
 */
export function someBeginAt(port: number): boolean {
  return (countAt(port, BEGINS) ?? 0) > 0;
}

/** Sockets whose own end is `port`, in a state; null where this system does not tell. */
function countAt(port: number, state: string): number | null {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const line = new RegExp(`^\\s*\\d+: [0-9A-F]+:${hex} \\S+ ${state} `, "gm");
  try {
    const tables = ["tcp", "tcp6"].map((name) => readFileSync(`/proc/net/${name}`, "utf8"));
    return tables.reduce((sum, table) => sum + [...table.matchAll(line)].length, 0);
  } catch {
    return null;
  }
}

/** The port that `fd` listens on; null for what is no listening socket. */
function portOf(fd: number, libc: Libc): number | null {
  const length = new Uint32Array([4]);
  const listens = new Int32Array(1);
  const asked = libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ptr(listens), ptr(length));
  return asked === 0 && listens[0] === 1 ? localPort(fd, libc) : null;
}

/** The port of `fd`'s own end; null for what is no socket. */
function localPort(fd: number, libc: Libc): number | null {
  const length = new Uint32Array([ADDRESS_BYTES]);
  const address = new DataView(new ArrayBuffer(ADDRESS_BYTES));
  if (libc.getsockname(fd, ptr(address), ptr(length)) !== 0) return null;
  // After the family, in IPv4 as in IPv6.
  return address.getUint16(2);
}

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];

function instructions(program: readonly Instruction[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(8 * program.length));
  for (const [at, [code, ifTrue, ifFalse, k]] of program.entries()) {
    bytes.setUint16(8 * at, code, true);
    bytes.setUint8(8 * at + 2, ifTrue);
    bytes.setUint8(8 * at + 3, ifFalse);
    bytes.setUint32(8 * at + 4, k, true);
  }
  return new Uint8Array(bytes.buffer);
}

/** What the kernel is told of a program, which has to be kept until it has been. */
function headerOf(program: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(16));
  header.setUint16(0, program.length / 8, true);
  header.setBigUint64(8, BigInt(ptr(program)), true);
  return new Uint8Array(header.buffer);
}
