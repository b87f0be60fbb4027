import { networkInterfaces } from "node:os";
import {
  type AddressPolicy,
  type AllowRule,
  judgeAddress,
  judgeHost,
} from "../core/address-policy.ts";
import { parseAddress } from "../core/cidr.ts";
import { ProxyError } from "../core/errors.ts";
import { normaliseNodeUrl } from "../core/node-url.ts";

export interface NodePolicyOptions {
  readonly allow: readonly AllowRule[];
  /** The port the proxy listens on, once it does. */
  readonly proxyPort: () => number;
  /** The addresses of a host name. Rejects when it has none. */
  readonly resolve: (hostname: string) => Promise<readonly { readonly address: string }[]>;
}

/** Which URLs may be nodes: judged when a node is added and, for names, whenever they are resolved. */
export class NodePolicy {
  readonly #options: NodePolicyOptions;
  readonly #localAddresses = Object.values(networkInterfaces()).flatMap(
    (addresses) => addresses?.map(({ address }) => address) ?? [],
  );

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
    return normaliseNodeUrl(url, { peerAddress, localAddresses: this.#localAddresses });
  }

  /** Why the node's host name, as it resolves now, may not be connected to; null when it may. */
  async judgeName(url: string): Promise<string | null> {
    const { hostname, port, protocol } = new URL(url);
    if (parseAddress(hostname) !== null) return null;
    const portNumber = Number(port) || (protocol === "https:" ? 443 : 80);
    try {
      const addresses = await this.#options.resolve(hostname);
      const policy = this.#policy();
      for (const { address } of addresses) {
        const refused = judgeAddress(address, portNumber, policy, hostname);
        if (refused !== null) return `${hostname}: ${refused}`;
      }
      return null;
    } catch {
      return `${hostname} cannot be resolved`;
    }
  }

  #policy(): AddressPolicy {
    const { allow, proxyPort } = this.#options;
    return { allow, proxyPort: proxyPort(), localAddresses: this.#localAddresses };
  }
}
