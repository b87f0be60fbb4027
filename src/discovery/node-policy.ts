import { networkInterfaces } from "node:os";
import {
  type AddressPolicy,
  type AllowRule,
  judgeAddress,
  judgeHost,
} from "../core/address/address-policy.ts";
import { normaliseNodeUrl } from "../core/address/node-url.ts";
import { ProxyError } from "../core/errors.ts";

export interface NodePolicyOptions {
  readonly allow: readonly AllowRule[];
  /** The port the proxy listens on, once it does. */
  readonly proxyPort: () => number;
}

/** Which URLs may be nodes: judged when a node is added and, for names, whenever they are resolved. */
export class NodePolicy {
  readonly #options: NodePolicyOptions;

  constructor(options: NodePolicyOptions) {
    this.#options = options;
  }

  /**
   * The normal form of a node's URL.
   * @param peerAddress Where the registration came from; stands in for a bind address.
   * @throws ProxyError invalid_request when it is none, or one that no node may have.
   */
  accept(url: string, peerAddress: string | null): string {
    const normal = this.normalise(url, peerAddress);
    const refused = this.refusal(normal);
    if (refused !== null) throw new ProxyError("invalid_request", refused, { param: "url" });
    return normal;
  }

  /** Why no node may have the URL, a normal form; null when nothing speaks against it. */
  refusal(url: string): string | null {
    return judgeHost(url, this.#policy());
  }

  /** The normal form alone, to look a node up. @throws ProxyError invalid_request */
  normalise(url: string, peerAddress: string | null): string {
    return normaliseNodeUrl(url, { peerAddress, localAddresses: localAddresses() });
  }

  /** Why the proxy must not connect to an address that a name was resolved to; null when it may. */
  addressRefusal(hostname: string, address: string, port: number): string | null {
    return judgeAddress(address, port, this.#policy(), hostname);
  }

  #policy(): AddressPolicy {
    const { allow, proxyPort } = this.#options;
    return { allow, proxyPort: proxyPort(), localAddresses: localAddresses() };
  }
}

/** Asked for each time: interfaces come and go. */
function localAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap(
    (addresses) => addresses?.map(({ address }) => address) ?? [],
  );
}
