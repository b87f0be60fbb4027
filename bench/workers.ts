/**
 * What workers cost and bring: `bun bench/workers.ts [--rounds N] [--seconds N] [--only A,C]`, with the
 * executable of `bun run build`. One process and 1, 2 and 4 workers, in turns: CPU time of the whole tree of
 * processes for each request (A) and each chunk (C), the least of all rounds, and how many there were.
 */
import { parseArgs } from "node:util";
import { lmproxyContestant } from "./contestants.ts";
import { killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { bestOf } from "./turns.ts";
import { WORKS } from "./works.ts";

const COUNTS = [null, 1, 2, 4] as const;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    only: { type: "string", default: "A,C" },
  },
});
killAllAtExit();
// Every process compiles its own code: of four that share two cores each takes as many times as long.
const window = { warmMs: 8_000, measureMs: Number(values.seconds) * 1_000 };
// Pinned to nothing: workers are to share what there is.
const laboratory = await Laboratory.open({ contestant: null, engine: null, generator: null }, 1, 0);
const turns = { laboratory, window, rounds: Number(values.rounds), core: null };
const field = COUNTS.map(withWorkers);
for (const work of WORKS.filter(({ name }) => values.only.split(",").includes(name))) {
  const best = await bestOf(field, work, turns);
  const one = best.get(nameOf(1)) ?? { us: 1, perS: 1 };
  console.info(`${work.name}: ${work.title}`);
  for (const [who, { us, perS }] of best) {
    const against = `${(us / one.us).toFixed(2)} and ${(perS / one.perS).toFixed(2)} times 1 worker's`;
    console.info(
      `  ${who.padEnd(11)}  ${us.toFixed(1)} µs a ${work.unit}, ${Math.round(perS)}/s: ${against}`,
    );
  }
}
await laboratory.close();

function nameOf(count: number | null): string {
  return count === null ? "one process" : `${count} worker${count === 1 ? "" : "s"}`;
}

function withWorkers(count: number | null) {
  const alone = lmproxyContestant();
  return {
    ...alone,
    name: nameOf(count),
    async prepare(place: Parameters<typeof alone.prepare>[0]) {
      const { command } = await alone.prepare(place);
      return { command: count === null ? command : [...command, "--workers", String(count)] };
    },
  };
}
