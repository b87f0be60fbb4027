/** Made-up traffic, the same for the same seed: what recorded traces do not show, and nobody tuned to. */
import { seededRandom } from "../../sim/model/seeded-random.ts";
import { Prefixes } from "./prefixes.ts";
import { inOrder, type Trace, type TraceRequest } from "./trace.ts";

const SPAN_MS = 1_800_000;
const BLOCK_TOKENS = 64;
/** No model reads more: longer conversations end. */
const MAX_TOKENS = 120_000;

type Draw = () => number;

/** Exponential, the times between independent arrivals. */
function exponential(mean: number, draw: Draw): number {
  return -mean * Math.log(1 - draw());
}

/** Log-normal, as lengths of prompts and answers are: `spread` is the factor of one standard deviation. */
function logNormal(median: number, spread: number, draw: Draw): number {
  const normal = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  return Math.max(1, Math.round(median * spread ** normal));
}

/** Text that is made up: each piece of it is a run of blocks that nobody else has. */
class Texts {
  #next = 0;

  ids(tokens: number): string[] {
    const blocks = Math.floor(tokens / BLOCK_TOKENS);
    return Array.from({ length: blocks }, () => String(this.#next++));
  }
}

interface Conversation {
  readonly startMs: number;
  readonly turns: number;
  /** Text it begins with, tokens and blocks. */
  readonly opening: readonly string[];
  /** Tokens that the client adds at each turn. */
  readonly says: () => number;
  readonly answers: () => number;
  readonly pauseMs: () => number;
}

class Builder {
  readonly #prefixes = new Prefixes();
  readonly #requests: TraceRequest[] = [];
  readonly texts = new Texts();
  #sessions = 0;

  /** Every turn's prompt is all that was said before, and what is new. Turns come when they would, answered in 10 s each. */
  converse({ startMs, turns, opening, says, answers, pauseMs }: Conversation): void {
    let ids = [...opening];
    let atMs = startMs;
    let after = -1;
    let gapMs = 0;
    this.#sessions += 1;
    for (let turn = 0; turn < turns && atMs < SPAN_MS; turn += 1) {
      ids = [...ids, ...this.texts.ids(Math.max(BLOCK_TOKENS, says()))];
      if (ids.length * BLOCK_TOKENS > MAX_TOKENS) return;
      const outputTokens = answers();
      this.#requests.push({
        atMs,
        inputTokens: ids.length * BLOCK_TOKENS,
        outputTokens,
        prefix: this.#prefixes.of(ids),
        session: turns > 1 ? this.#sessions : -1,
        after,
        pauseMs: gapMs,
      });
      after = this.#requests.length - 1;
      ids = [...ids, ...this.texts.ids(outputTokens)];
      gapMs = pauseMs();
      atMs += gapMs + 10_000;
    }
  }

  trace(name: string): Trace {
    this.#prefixes.forgetNames();
    const requests = inOrder(this.#requests, 0);
    return {
      ...{ name, blockTokens: BLOCK_TOKENS, prefixes: this.#prefixes },
      ...{ stepMs: 0, requests },
    };
  }
}

/** Calls `act` at the times of independent arrivals. */
function arrivals(perSecond: (atMs: number) => number, draw: Draw, act: (atMs: number) => void) {
  let atMs = 0;
  for (;;) {
    atMs += exponential(1_000 / perSecond(atMs), draw);
    if (atMs >= SPAN_MS) return;
    act(atMs);
  }
}

/** Single requests that have nothing in common. */
function single(builder: Builder, draw: Draw) {
  return (startMs: number) =>
    builder.converse({
      startMs,
      turns: 1,
      opening: [],
      says: () => logNormal(3_000, 3, draw),
      answers: () => logNormal(180, 2, draw),
      pauseMs: () => 0,
    });
}

const KINDS: Readonly<Record<string, (builder: Builder, draw: Draw) => void>> = {
  /** Independent arrivals. */
  poisson: (builder, draw) => arrivals(() => 8, draw, single(builder, draw)),

  /** The same requests, half of them in the tenth of the time. */
  bursts: (builder, draw) => {
    const perSecond = (atMs: number) => (atMs % 60_000 < 6_000 ? 40 : 4.4);
    arrivals(perSecond, draw, single(builder, draw));
  },

  /** Chats of several turns over a dozen system prompts of which a few are used most. */
  chat: (builder, draw) => {
    const systems = Array.from({ length: 12 }, () =>
      builder.texts.ids(logNormal(1_500, 2.5, draw)),
    );
    arrivals(
      () => 1.6,
      draw,
      (startMs) =>
        builder.converse({
          startMs,
          turns: 1 + Math.floor(exponential(4, draw)),
          opening: systems[Math.floor(systems.length * draw() ** 3)] ?? [],
          says: () => logNormal(300, 3, draw),
          answers: () => logNormal(300, 2, draw),
          pauseMs: () => exponential(30_000, draw),
        }),
    );
  },

  /** Few agents with tools and long sessions: much is read, little is written, and quickly again. */
  agents: (builder, draw) => {
    const tools = Array.from({ length: 3 }, () => builder.texts.ids(12_000));
    arrivals(
      () => 0.09,
      draw,
      (startMs) =>
        builder.converse({
          startMs,
          turns: 5 + Math.floor(exponential(30, draw)),
          opening: tools[Math.floor(tools.length * draw())] ?? [],
          says: () => logNormal(900, 3, draw),
          answers: () => logNormal(120, 2.5, draw),
          pauseMs: () => exponential(4_000, draw),
        }),
    );
  },
};

export const SYNTHETIC_NAMES = Object.keys(KINDS);

/** Null when nothing of that name can be made. */
export function synthetic(name: string, seed: number): Trace | null {
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind === undefined) return null;
  const builder = new Builder();
  kind(builder, seededRandom(seed));
  return builder.trace(`synthetic:${name}`);
}
