/**
 * What being observed costs: `bun bench/observing.ts [--rounds N] [--only A,C]`, with the
 * executable of `bun run build`. In turns: nothing but metrics, which are always kept (no lines, no
 * explanations); as it is installed (a line for each request, explanations); the same with one trace in a
 * hundred sent to a collector. CPU time for each request (A) and each chunk (C).
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Contestant, lmproxyContestant } from "./contestants.ts";
import { chooseCores, killAllAtExit } from "./host.ts";
import { Laboratory } from "./laboratory.ts";
import { inTurns } from "./turns.ts";
import { WORKS } from "./works.ts";

const EXECUTABLE = join(import.meta.dir, "../lmproxy");

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    only: { type: "string", default: "A,C" },
  },
});
killAllAtExit();
const cores = chooseCores();
const laboratory = await Laboratory.open(cores, 1, 0);
const collector = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => Response.json({}) });
const rounds = Number(values.rounds);
// Long enough for all code to be compiled: each of them runs its own.
const turns = { laboratory, rounds, warmMs: 6_000, core: cores.contestant };
const field = [
  lmproxyWith("silent", ["--log-level", "error", "--access-log", "off", "--explain-memory", "0"]),
  lmproxyWith("as installed", []),
  lmproxyWith("traced", [], {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url.origin,
    OTEL_TRACES_SAMPLER: "traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.01",
  }),
];
for (const work of WORKS.filter(({ name }) => values.only.split(",").includes(name))) {
  const took = await inTurns(field, work, turns);
  const us = (name: string) => took.get(name)?.us ?? Number.NaN;
  console.info(`${work.name}: ${work.title}`);
  for (const [name, { us }] of took) {
    console.info(`  ${name.padEnd(12)}  ${us.toFixed(1)} µs a ${work.unit}`);
  }
  console.info(`  as installed over silent: ${(us("as installed") / us("silent")).toFixed(2)}`);
  console.info(`  traced over as installed: ${(us("traced") / us("as installed")).toFixed(2)}`);
}
await laboratory.close();
await collector.stop(true);

function lmproxyWith(
  name: string,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Contestant {
  return {
    ...lmproxyContestant(EXECUTABLE),
    name,
    prepare: async ({ port, nodes }) => ({
      command: [
        ...[EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", String(port)],
        ...nodes.flatMap((node) => ["--node", node]),
        ...["--strategy", "random", "--disable-cache-status", ...flags],
      ],
      env,
    }),
  };
}
