/**
 * What each step from a bare pass-through to lmproxy costs: `bun bench/ladder.ts [--work NAME]
 * [--rounds N]`, by default work A. It bounds what lmproxy could save: what comes before the last line
 * is not its own.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCell } from "./cell.ts";
import { bare, type Contestant, lmproxyContestant, nginx } from "./contestants.ts";
import { chooseCores, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import type { Measured } from "./load.ts";
import { alignedLines } from "./print.ts";
import { STEPS } from "./step-proxy.ts";
import { FIGURES, type Figure, isDisturbed, spreadOf } from "./summary.ts";
import type { Table } from "./tables.ts";
import { WORKS, type Work } from "./works.ts";

const WINDOW = { warmMs: 2_000, measureMs: 2_000 };

function step(steps: number): Contestant {
  return {
    ...bare,
    name: `step-${steps}`,
    title: `+ ${STEPS[steps - 1] ?? ""}`,
    prepare: async ({ port, nodes }) => ({
      command: [
        ...[process.execPath, join(import.meta.dir, "step-proxy.ts")],
        ...[String(port), String(steps), ...nodes],
      ],
      env: { BUN_CONFIG_MAX_HTTP_REQUESTS: "65535" },
    }),
  };
}

interface Column {
  readonly title: string;
  readonly figure: Figure;
}

/** The first is what the steps are counted in. */
function columnsOf({ unit, ratePerS }: Work): readonly Column[] {
  if (unit === "request") return [{ title: "CPU µs/request", figure: FIGURES.cpuPerRequestUs }];
  return [
    { title: "CPU µs/chunk", figure: FIGURES.cpuPerChunkUs },
    // Where all streams begin at once, it would measure their number.
    ...(ratePerS === null
      ? []
      : [
          { title: "first byte p50 µs", figure: FIGURES.firstByteP50Us },
          { title: "first byte p99 µs", figure: FIGURES.firstByteP99Us },
        ]),
    { title: "chunk p50 µs", figure: FIGURES.chunkP50Us },
    { title: "chunk p99 µs", figure: FIGURES.chunkP99Us },
  ];
}

/** A row for each rung: medians, what the first of them adds to the rung before, and ratios to the first rung. */
function tableOf(
  work: Work,
  rungs: readonly Contestant[],
  measured: readonly (readonly Measured[])[],
): Table {
  const columns = columnsOf(work);
  const medians = measured.map((rounds) =>
    columns.map(({ figure }) => spreadOf(rounds.map(figure))?.median ?? Number.NaN),
  );
  const at = (rung: number, column: number) => medians[rung]?.[column] ?? Number.NaN;
  return {
    title: `${work.name}: ${work.title}; medians of the rounds`,
    head: ["", "step", ...columns.flatMap(({ title }) => [title, "of nginx"])],
    rows: rungs.map(({ title }, rung) => [
      title,
      rung < 2 ? "" : (at(rung, 0) - at(rung - 1, 0)).toFixed(1),
      ...columns.flatMap((_, column) => [
        at(rung, column).toFixed(1),
        (at(rung, column) / at(0, column)).toFixed(2),
      ]),
    ]),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      work: { type: "string", default: "A" },
      rounds: { type: "string", default: "5" },
    },
  });
  const work = WORKS.find(({ name }) => name === values.work);
  if (work === undefined) throw new Error(`there is no work ${values.work}`);
  const rungs = [nginx, bare, ...STEPS.map((_, index) => step(index + 1)), lmproxyContestant()];
  const measured = rungs.map((): Measured[] => []);
  const cores = chooseCores();
  const laboratory = await Laboratory.open(cores, work.nodes, work.others);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const [index, rung] of rungs.entries()) {
      const cell = await runCell(laboratory, rung, work, WINDOW, cores.contestant);
      if (cell.measured === undefined || cell.problem !== null) {
        throw new Error(`${rung.title}: ${cell.problem}`);
      }
      measured[index]?.push(cell.measured);
    }
  }
  await laboratory.close();
  for (const line of alignedLines(tableOf(work, rungs, measured))) console.log(line);
  const disturbed = measured.flat().filter(isDisturbed).length;
  console.log(`\n${values.rounds} rounds, ${disturbed} measurements disturbed.`);
}

if (import.meta.main) {
  killAllAtExit();
  await main();
  process.exit(0);
}
