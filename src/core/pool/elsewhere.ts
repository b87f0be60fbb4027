/**
 * What other processes send to the same nodes, as far as choosing needs to know. A node has the same
 * slot in all of them.
 */
export interface Elsewhere {
  /** Whether there are others. A node that was removed is then kept until nobody sends it anything. */
  readonly isShared: boolean;
  /** Requests that others have in flight on the node of this slot. */
  inFlight(slot: number): number;
  /** Pieces of answers that others have had from that node: a count that goes round, as old as 250 ms. */
  pieces(slot: number): number;
  /** The longest prompt of others' requests that have no first word there yet, bytes; 0 where there is none. */
  longestBytes(slot: number): number;
  /** That of ours is so long from now on. */
  waits(slot: number, longestBytes: number): void;
  /** That node answered us well, to the end, in so many ms. */
  answered(slot: number, latencyMs: number): void;
  /**
   * A request of ours goes to that node. False, and nothing has happened, when it would have more than
   * `most` in flight then, whoever sent them; Infinity for no limit.
   */
  begin(slot: number, most: number): boolean;
  /** It has ended. */
  end(slot: number): void;
}

/** There is one process. */
export const NOBODY_ELSE: Elsewhere = {
  isShared: false,
  inFlight: () => 0,
  pieces: () => 0,
  longestBytes: () => 0,
  waits: () => {},
  answered: () => {},
  begin: () => true,
  end: () => {},
};
