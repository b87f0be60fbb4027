import type { Lease } from "../pool/lease.ts";

/**
 * An admitted request and the place it occupies. The place is given back when whoever admitted it
 * has let go and every lease it was handed to has ended, so that retries and the two steps of
 * DistServe count as the one request they are.
 */
export class Admitted<L extends Lease | null = Lease> {
  /** What it was admitted with. */
  readonly lease: L;
  readonly #client: string;
  readonly #leave: (client: string) => void;
  #holds = 1;

  /** @param leave Gives the place of `client` back. */
  constructor(lease: L, client: string, leave: (client: string) => void) {
    this.lease = lease;
    this.#client = client;
    this.#leave = leave;
    if (lease !== null) this.hold(lease);
  }

  /** The request occupies its place at least as long as `lease` is open. */
  hold(lease: Lease): void {
    if (lease.outcome !== null) return;
    this.#holds += 1;
    lease.heldBy = this;
  }

  /** One holder less; to be called once by whoever admitted the request. */
  drop(): void {
    this.#holds -= 1;
    if (this.#holds === 0) this.#leave(this.#client);
  }
}
