/** Who a request came from, told by proxies in front: `X-Forwarded-For`, a list of addresses, nearest last. */
import { parseAddress } from "./cidr.ts";

/** A chain longer than this is nobody's: what stands before is not looked at. */
const MOST_HOPS = 32;

/**
 * The client's address: the last one in the chain that is no trusted proxy's, the first when all are.
 * What an untrusted client wrote into the header before that has no say.
 * @param peerAddress The socket's other end.
 * @param trusts Whether an address is a trusted proxy's.
 */
export function clientAddress(
  chain: string | null,
  peerAddress: string,
  trusts: (address: string) => boolean,
): string {
  let client = peerAddress;
  const hops = chain?.split(",").slice(-MOST_HOPS) ?? [];
  for (const hop of hops.reverse()) {
    if (!trusts(client)) return client;
    const address = addressIn(hop);
    if (address === null) return client;
    client = address;
  }
  return client;
}

/** An address as proxies write it: bare, with a port, in brackets. */
function addressIn(hop: string): string | null {
  const [, bracketed, bare] = /^\s*(?:\[([^\]]*)\](?::\d+)?|([^:]+):\d+)\s*$/.exec(hop) ?? [];
  return parseAddress(bracketed ?? bare ?? hop.trim())?.toString() ?? null;
}
