/**
 * What each step from a bare pass-through to lmproxy costs in work A: `bun scripts/bench/ladder.ts
 * [--rounds N]`. It bounds what lmproxy could save: what comes before the last line is not its own.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCell } from "./cell.ts";
import { bare, type Contestant, lmproxyContestant, nginx } from "./contestants.ts";
import { chooseCores, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { STEPS } from "./step-proxy.ts";
import { FIGURES, isDisturbed, spreadOf } from "./summary.ts";
import { WORKS } from "./works.ts";

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

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
  const work = WORKS.find(({ name }) => name === "A");
  if (work === undefined) throw new Error("there is no work A");
  const rungs = [nginx, bare, ...STEPS.map((_, index) => step(index + 1)), lmproxyContestant()];
  const costs = rungs.map((): number[] => []);
  const cores = chooseCores();
  const laboratory = await Laboratory.open(cores, work.nodes, work.others);
  let disturbed = 0;
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const [index, rung] of rungs.entries()) {
      const cell = await runCell(laboratory, rung, work, WINDOW, cores.contestant);
      if (cell.measured === undefined || cell.problem !== null) {
        throw new Error(`${rung.title}: ${cell.problem}`);
      }
      if (isDisturbed(cell.measured)) disturbed += 1;
      costs[index]?.push(FIGURES.cpuPerRequestUs(cell.measured));
    }
  }
  await laboratory.close();
  const medians = costs.map((values) => spreadOf(values)?.median ?? Number.NaN);
  const [reference = Number.NaN] = medians;
  console.log("CPU time per request (work A), median of the rounds\n");
  console.log("    µs   step  of nginx");
  let before = Number.NaN;
  for (const [index, { title }] of rungs.entries()) {
    const us = medians[index] ?? Number.NaN;
    const more = index < 2 ? "" : (us - before).toFixed(1);
    console.log(
      `${us.toFixed(1).padStart(6)} ${more.padStart(6)} ${(us / reference).toFixed(2).padStart(9)}  ${title}`,
    );
    before = us;
  }
  console.log(`\n${values.rounds} rounds, ${disturbed} measurements disturbed.`);
}

if (import.meta.main) {
  killAllAtExit();
  await main();
  process.exit(0);
}
