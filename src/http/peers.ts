import { type Cidr, inCidrs } from "../core/address/cidr.ts";
import { clientAddress } from "../core/address/forwarded-for.ts";
import type { BunServer } from "./bun-server.ts";

/** Who sent a request, and over what. */
export interface Peer {
  /** The client's: the socket's, or what trusted proxies say; null when the socket is gone. */
  readonly address: string | null;
  /** The socket's other end; null when it is gone. */
  readonly socketAddress: string | null;
  /** Whether that is a trusted proxy: then its word on the client counts. */
  readonly isTrustedProxy: boolean;
}

/** Knows who stands at the other end of a request, and whom of the proxies in front to believe. */
export class Peers {
  readonly #server: () => Pick<BunServer, "requestIP">;
  readonly #trusted: readonly Cidr[];

  /** @param trusted The networks of `--trusted-proxies`. */
  constructor(server: () => Pick<BunServer, "requestIP">, trusted: readonly Cidr[]) {
    this.#server = server;
    this.#trusted = trusted;
  }

  of(request: Request): Peer {
    const socketAddress = this.#server().requestIP(request)?.address ?? null;
    if (socketAddress === null || !this.#trusts(socketAddress)) {
      return { address: socketAddress, socketAddress, isTrustedProxy: false };
    }
    return this.#behind(socketAddress, request.headers.get("x-forwarded-for"));
  }

  /** Who a trusted proxy says is there. */
  #behind(socketAddress: string, chain: string | null): Peer {
    const address = clientAddress(chain, socketAddress, (one) => this.#trusts(one));
    return { address, socketAddress, isTrustedProxy: true };
  }

  #trusts(address: string): boolean {
    return this.#trusted.length > 0 && inCidrs(address, this.#trusted);
  }
}

/** Headers that a proxy adds, and no engine that registers. */
const RELAYED = /^(?:forwarded|via|x-real-ip|x-forwarded-.*)$/;

/** Whether a request says that it came through another proxy. */
export function saysRelayed(headers: Headers): boolean {
  return [...headers.keys()].some((name) => RELAYED.test(name));
}
