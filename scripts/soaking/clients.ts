/** Clients of every kind, all at once, until they are told to stop. */
import { rawPost } from "../../test/support/raw-client.ts";
import { endingOf, type Tally } from "./tally.ts";

type Kind = "whole" | "stream" | "large" | "leaving" | "slow";

const SHARES: readonly (readonly [Kind, number])[] = [
  ["whole", 0.35],
  ["stream", 0.35],
  ["large", 0.1],
  ["leaving", 0.1],
  ["slow", 0.1],
];

const LARGE_PROMPT = "word ".repeat(40_000);

export interface ClientOptions {
  readonly port: number;
  readonly random: () => number;
  readonly tally: Tally;
  /** Whether to send another request. */
  readonly goesOn: () => boolean;
}

/** One client: a request after the other, each of a kind that is drawn. */
export async function runClient({ port, random, tally, goesOn }: ClientOptions): Promise<void> {
  while (goesOn()) {
    const kind = draw(random());
    const body = {
      model: "tiny",
      prompt: kind === "large" ? LARGE_PROMPT : "x",
      max_tokens: 1 + Math.floor(random() * 80),
      ignore_eos: true,
      stream: kind === "stream" || kind === "slow" || random() < 0.3,
    };
    const exchange = rawPost(port, "/v1/completions", body, { paused: kind === "slow" });
    if (kind === "leaving") {
      await Promise.race([pause(random() * 400), exchange.ended]);
      exchange.leave();
      tally.add("left");
      continue;
    }
    if (kind === "slow") {
      await pause(random() * 2_000);
      exchange.resume();
    }
    tally.add(endingOf(await exchange.ended));
  }
}

function draw(chance: number): Kind {
  let sum = 0;
  for (const [kind, share] of SHARES) {
    sum += share;
    if (chance < sum) return kind;
  }
  return "whole";
}

export function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
