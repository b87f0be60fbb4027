/** Whose key counts here, and which goes to engines. */
import type { Config } from "../config/serve-config.ts";
import { inCidrs, parseCidr } from "../core/address/cidr.ts";
import { Access, bareKey } from "../http/access.ts";
import { trustedNetworks } from "./effective.ts";

/** The keys in force: those of the start, or of the last reload. */
export class Keys {
  readonly access: Access;
  /** What goes with the proxy's own questions to engines; changes in place. */
  readonly engineHeaders: Record<string, string> = {};
  /** What engines get instead of the clients' keys. */
  upstreamApiKey: string | null = null;

  constructor(config: Config) {
    const trusted = trustedNetworks(config).map(parseCidr);
    this.access = new Access({
      apiKeys: config.apiKeys,
      adminKey: config.adminKey,
      trusts: (peerAddress) => inCidrs(peerAddress, trusted),
      adminHosts: config.adminHosts,
      forwards: config.forwardCredentials,
    });
    this.use(config);
  }

  /** From now on the keys of `config` count. */
  use(config: Config): void {
    this.access.use(config);
    this.upstreamApiKey = config.upstreamApiKey;
    const key = engineKeyOf(config);
    if (key !== null) this.engineHeaders["authorization"] = `Bearer ${key}`;
  }
}

/** With one key for all, clients' is the engines'. */
function engineKeyOf(config: Config): string | null {
  const [first] = config.forwardCredentials ? config.apiKeys : [];
  return config.upstreamApiKey ?? (first === undefined ? null : bareKey(first));
}
