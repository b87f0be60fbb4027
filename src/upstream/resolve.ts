/** The addresses of engines' names. */
import { errorCode } from "../core/thrown.ts";

export type Addresses = readonly { readonly address: string }[];

type Lookup = (hostname: string, options?: { readonly backend: "system" }) => Promise<Addresses>;

/**
 * A `resolve` that asks c-ares, which holds up nobody, and the system for what c-ares cannot find: that reads
 * /etc/resolv.conf anew, and knows what else /etc/nsswitch.conf names. A question to the system takes a thread of
 * Bun's until its name server answers, of two that there may be, and files are read by these: so there is one at a time.
 * None where the name server says that there is no such name; rejects where it says nothing of it.
 * @param lookup `Bun.dns.lookup`
 */
export function resolver(lookup: Lookup): (hostname: string) => Promise<Addresses> {
  let last: Promise<unknown> = Promise.resolve();
  return async (hostname) => {
    try {
      return await lookup(hostname);
    } catch {
      const answer = last.then(() => lookup(hostname, { backend: "system" }));
      last = answer.catch(() => {});
      return await answer.catch(noneIfUnknown);
    }
  };
}

/** `EAI_AGAIN` and its like say that there was no answer. */
function noneIfUnknown(error: unknown): Addresses {
  if (errorCode(error) === "DNS_ENOTFOUND") return [];
  throw error;
}
