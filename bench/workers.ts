/**
 * What workers cost and bring: `bun bench/workers.ts [--rounds N] [--only A,C]`, with the
 * executable of `bun run build`. One process and 1, 2 and 4 workers, in turns: CPU time of the whole tree of
 * processes for each request (A) and each chunk (C), and how many there were.
 */
import { parseArgs } from "node:util";
import { lmproxyContestant } from "./contestants.ts";
import { killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { inTurns } from "./turns.ts";
import { WORKS } from "./works.ts";

const COUNTS = [null, 1, 2, 4] as const;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    only: { type: "string", default: "A,C" },
  },
});
killAllAtExit();
// Pinned to nothing: workers are to share what there is.
const laboratory = await Laboratory.open({ contestant: null, engine: null, generator: null }, 1, 0);
// Every process compiles its own code: of four that share two cores each takes as many times as long.
const turns = { laboratory, rounds: Number(values.rounds), warmMs: 8_000, core: null };
const field = COUNTS.map(withWorkers);
for (const work of WORKS.filter(({ name }) => values.only.split(",").includes(name))) {
  const took = await inTurns(field, work, turns);
  const one = took.get(nameOf(1)) ?? { us: 1, perS: 1 };
  console.info(`${work.name}: ${work.title}`);
  for (const [who, { us, perS }] of took) {
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
