import { UsageError } from "../config/usage-error.ts";
import type { Row } from "../lab/measures.ts";
import { CommandError } from "./command-error.ts";
import type { Progress } from "./lab-progress.ts";
import { thisProgram } from "./self.ts";
import { untilSignal } from "./signals.ts";

/**
 * The strategies dealt out to several processes of this program, which read the traces themselves.
 *
 * @returns In the order in which one process gives them.
 * @throws CommandError @throws UsageError what the first of them said that failed
 */
export async function inProcesses(
  jobs: number,
  strategies: readonly string[],
  seeds: number,
  argv: readonly string[],
  progress: Progress,
): Promise<Row[]> {
  const { file, args } = thisProgram();
  const hands = Array.from({ length: jobs }, (_, job) =>
    strategies.filter((_strategy, i) => i % jobs === job),
  );
  // A signal that comes to this process alone would leave them behind, at work for nobody.
  void untilSignal().then((signal) => {
    stop();
    progress.end();
    process.kill(process.pid, signal);
  });
  const children = hands.map((hand) => ({
    runs: hand.length * seeds,
    process: Bun.spawn(
      [
        ...[file, ...args, "lab", ...withoutStrategies(argv)],
        ...["--strategies", hand.join(","), "--jobs", "1", "--json"],
      ],
      {
        ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
        ...(progress.isHeard ? { ipc: (what: unknown) => progress.at(String(what)) } : {}),
      },
    ),
  }));
  const stop = () => {
    for (const child of children) child.process.kill();
  };
  try {
    const rows = await Promise.all(
      children.map(async ({ runs, process: { stdout, stderr, exited } }) => {
        const words = stderr.text();
        const text = await told(stdout, progress);
        throwIfFailed(await exited, await words);
        const own: Row[] = JSON.parse(text);
        // All strategies and seeds of a trace, model and cluster follow one another.
        return own.map((row, i) => ({ row, part: Math.floor(i / runs) }));
      }),
    );
    const order = new Map(strategies.map((name, i) => [name, i]));
    const place = ({ strategy }: Row) => order.get(strategy) ?? 0;
    return rows
      .flat()
      .sort((a, b) => a.part - b.part || place(a.row) - place(b.row))
      .map(({ row }) => row);
  } finally {
    stop();
  }
}

/** Their words are ours. */
function throwIfFailed(code: number, words: string): void {
  if (code === 0) return;
  const said = words.trim().replace(/^lmproxy: /, "");
  if (code === 2) throw new UsageError(said);
  throw new CommandError(
    `a process of the laboratory ended with exit code ${code}; try --jobs 1\n${said}`.trim(),
  );
}

/** What goes to all of them: a flag goes with the words behind it, as `--strategies random llm_d`. */
function withoutStrategies(argv: readonly string[]): string[] {
  let isKept = true;
  return argv.filter((word) => {
    if (word.startsWith("-")) isKept = !/^--(strateg(y|ies)|jobs)(=|$)/.test(word);
    return isKept;
  });
}

/** What one of them prints; each row is a step. */
async function told(stdout: ReadableStream<Uint8Array>, progress: Progress): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let told = 0;
  for await (const chunk of stdout) {
    text += decoder.decode(chunk, { stream: true });
    const known = text.split('"strategy":').length - 1;
    for (; told < known; told += 1) progress.step();
  }
  return text;
}
