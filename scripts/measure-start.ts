/**
 * Compares how fast executables start, in turns: `bun scripts/measure-start.ts [--runs N] PATH…`
 *
 * Prints medians and interquartile ranges of the wall time of `--version` and of the time from
 * `serve` to its first answered request, ms.
 */
import { parseArgs } from "node:util";

const ENDPOINT = /listens on (\S+)/;

async function versionMs(path: string): Promise<number> {
  const startedMs = performance.now();
  await Bun.spawn([path, "--version"], { stdout: "ignore" }).exited;
  return performance.now() - startedMs;
}

async function firstAnswerMs(path: string): Promise<number> {
  const startedMs = performance.now();
  const flags = ["--host", "127.0.0.1", "--port", "0", "--log-level", "error"];
  const proxy = Bun.spawn([path, "serve", ...flags], { stdout: "pipe" });
  let output = "";
  for await (const chunk of proxy.stdout) {
    output += new TextDecoder().decode(chunk);
    const url = ENDPOINT.exec(output)?.[1];
    if (url === undefined) continue;
    await (await fetch(`${url}/health`, { keepalive: false })).bytes();
    break;
  }
  const elapsedMs = performance.now() - startedMs;
  proxy.kill("SIGKILL");
  await proxy.exited;
  return elapsedMs;
}

function summary(samples: readonly number[]): string {
  const sorted = samples.toSorted((a, b) => a - b);
  const [low, median, high] = [0.25, 0.5, 0.75].map((share) => {
    return (sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN).toFixed(1);
  });
  return `${median} (${low} to ${high})`;
}

const { values, positionals } = parseArgs({
  options: { runs: { type: "string", default: "50" } },
  allowPositionals: true,
});
for (const [what, measure] of [
  ["--version", versionMs],
  ["first answer", firstAnswerMs],
] as const) {
  const samples = new Map<string, number[]>(positionals.map((path) => [path, []]));
  for (let run = 0; run < Number(values.runs); run++) {
    for (const [path, taken] of samples) taken.push(await measure(path));
  }
  for (const [path, taken] of samples) console.log(`${what}: ${path} ${summary(taken)} ms`);
}
