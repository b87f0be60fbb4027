/** Whose key counts here, and which goes to engines. */
import type { Config } from "../config/serve-config.ts";
import { inCidrs, parseCidr } from "../core/address/cidr.ts";
import { Access, bareKey } from "../http/access.ts";
import { trustedNetworks } from "./effective.ts";

export function createAccess(config: Config): Access {
  const trusted = trustedNetworks(config).map(parseCidr);
  return new Access({
    apiKeys: config.apiKeys,
    adminKey: config.adminKey,
    trusts: (peerAddress) => inCidrs(peerAddress, trusted),
    adminHosts: config.adminHosts,
    forwards: config.forwardCredentials,
  });
}

/** What goes with the proxy's own questions to engines. With one key for all, clients' is theirs. */
export function engineHeadersOf(config: Config): Readonly<Record<string, string>> {
  const [first] = config.forwardCredentials ? config.apiKeys : [];
  const key = config.upstreamApiKey ?? (first === undefined ? null : bareKey(first));
  return key === null ? {} : { authorization: `Bearer ${key}` };
}
