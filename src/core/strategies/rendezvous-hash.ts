import { minExpectedLatency } from "./min-expected-latency.ts";
import { lowestCost, type Strategy } from "./strategy.ts";

/** How much more than the mean a node may have in flight before its keys go to their next node. */
const BOUND = 1.25;

/**
 * The same node for the same key: every node draws a number from the key and its own address, and the
 * highest wins (rendezvous hashing, Thaler and Ravishankar, 1998), in proportion to the nodes' speeds. A
 * node that leaves moves only its own keys. With bounded loads (Mirrokni, Thorup and Zadimoghaddam,
 * 2018): a node with more than 1.25 times the mean in flight is passed over. Without a key
 * `min_expected_latency` decides.
 */
export const rendezvousHash: Strategy = (asked, candidates, random, note) => {
  const { key } = asked;
  if (key === null) return minExpectedLatency(asked, candidates, random, note);
  let load = 0;
  let weights = 0;
  for (const candidate of candidates) {
    load += candidate.load;
    weights += candidate.weight;
  }
  const room = Math.max(1, (BOUND * (load + 1)) / weights);
  const open = candidates.filter((node) => node.load + 1 <= Math.ceil(room * node.weight));
  return lowestCost(
    open.length > 0 ? open : candidates,
    ({ id, speed }) => -Math.log(draw(key, id)) / (speed ?? 1),
    random,
    note,
  );
};
rendezvousHash.needs = ["key"];

/** A number in (0, 1) that depends on both: the finaliser of MurmurHash3 over their sum. */
function draw(key: number, id: number): number {
  let mixed = (Math.imul(key ^ (key >>> 16), 0x9e3779b1) + id) | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (((mixed ^ (mixed >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}
