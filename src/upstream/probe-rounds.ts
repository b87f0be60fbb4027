import type { Clock } from "../core/clock.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { Fetch } from "./forward.ts";

/** What asking engines again and again on the proxy's own account takes. */
export interface Questions {
  readonly registry: Registry;
  /** Sent with each. */
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Given what nobody expected; asking goes on. */
  readonly onError: (error: unknown) => void;
}

export interface RoundsOptions extends Pick<Questions, "clock" | "random" | "onError"> {
  /** Asks the node once; `atOnce`: something happened, and others wait to hear what it is. */
  readonly ask: (node: Node, atOnce: boolean) => Promise<void>;
  /** Until the node is asked again, ms. */
  readonly delayMs: (node: Node) => number;
}

interface Round {
  /** Prevents the next question; null while none is due. */
  cancel: (() => void) | null;
  asking: boolean;
  /** Wanted at once while a question was under way: that one may have begun before the reason for it. */
  again: boolean;
}

/** The next question comes up to this fraction early, so that those to many nodes do not march in step. */
const JITTER = 0.2;

/** Asks nodes again and again, each in its own time, one question to a node at a time. */
export class Rounds {
  readonly #options: RoundsOptions;
  readonly #rounds = new Map<Node, Round>();

  constructor(options: RoundsOptions) {
    this.#options = options;
  }

  /** Asks the node from now on, for the first time when it is due; nothing happens if it is asked already. */
  add(node: Node): void {
    if (this.#rounds.has(node)) return;
    const round = { cancel: null, asking: false, again: false };
    this.#rounds.set(node, round);
    this.#askLater(node, round);
  }

  /** Asks the node at once, or once more as soon as it has answered. Nothing happens if it is not asked at all. */
  now(node: Node): void {
    const round = this.#rounds.get(node);
    if (round === undefined) return;
    if (round.asking) round.again = true;
    else void this.#ask(node, round, true);
  }

  remove(node: Node): void {
    this.#rounds.get(node)?.cancel?.();
    this.#rounds.delete(node);
  }

  stop(): void {
    for (const node of [...this.#rounds.keys()]) this.remove(node);
  }

  async #ask(node: Node, round: Round, atOnce: boolean): Promise<void> {
    round.cancel?.();
    round.cancel = null;
    round.asking = true;
    round.again = false;
    try {
      await this.#options.ask(node, atOnce);
    } catch (error) {
      this.#options.onError(error);
    }
    round.asking = false;
    if (this.#rounds.get(node) !== round) return;
    if (round.again) void this.#ask(node, round, true);
    else this.#askLater(node, round);
  }

  #askLater(node: Node, round: Round): void {
    const { clock, random, delayMs } = this.#options;
    const ms = delayMs(node) * (1 - JITTER * random());
    round.cancel = clock.after(ms, () => void this.#ask(node, round, false));
  }
}
