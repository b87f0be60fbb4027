import type { Sent } from "./heard-prompts.ts";

/**
 * Whether to believe a node that says which share of prompts it had in its cache, beside how long it took.
 * Too short for what it says that it computed: the time counts, since nothing computes faster than it can.
 * Too long tells less. A busy engine's first words are late however little it computes, and where prompts begin
 * alike no time tells a cache that finds nothing on a fast node from one that finds all on a slow one. So that
 * counts only for prompts most of which the node was never sent, and stays until it says better of such ones.
 */
export class PrefixWord {
  #claims = false;
  /** What it said last was likely. */
  isBelieved = false;

  said(prompts: readonly Sent[], share: number): void {
    let [bytes, seemed, sent] = [0, 0, 0];
    for (const prompt of prompts) {
      if (prompt.seemed === null) continue;
      bytes += prompt.promptBytes;
      seemed += prompt.seemed;
      sent += prompt.pieces.at(-1)?.end ?? 0;
    }
    const told = share * bytes;
    if (2 * sent < bytes) this.#claims = told - seemed > bytes / 2;
    this.isBelieved = !this.#claims && seemed - told <= bytes / 2;
  }
}
