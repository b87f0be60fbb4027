import { timeMs, tokens } from "./fields.ts";
import { Prefixes } from "./prefixes.ts";
import type { Reader } from "./reader.ts";
import type { TraceRequest } from "./trace.ts";
import { TraceError } from "./trace-error.ts";

interface Names {
  readonly time: string;
  readonly input: string;
  readonly output: string;
}

/** What columns are called, in lower case. */
const KINDS: readonly Names[] = [
  /** Azure's traces (Microsoft; Splitwise, ISCA '24, DynamoLLM, ModServe). */
  { time: "timestamp", input: "contexttokens", output: "generatedtokens" },
  /** BurstGPT (Wang et al., KDD '25). */
  { time: "timestamp", input: "request tokens", output: "response tokens" },
];

/** CSV with a header, times in seconds or as dates. It says nothing of prefixes. @throws TraceError */
export function csv(header: string): Reader {
  const titles = cellsOf(header);
  const names = titles.map((name) => name.toLowerCase());
  const kind = KINDS.find((one) => Object.values(one).every((name) => names.includes(name)));
  if (kind === undefined) {
    throw new TraceError(
      "The trace is of no known format: it is no JSON, and its first line does not name TIMESTAMP, " +
        "ContextTokens and GeneratedTokens (Azure), nor Timestamp, Request tokens and Response tokens " +
        "(BurstGPT).",
    );
  }
  const [time, input, output] = [kind.time, kind.input, kind.output].map((name) => {
    const at = names.indexOf(name);
    return { at, title: titles[at] ?? name };
  });
  if (time === undefined || input === undefined || output === undefined) throw new Error("no kind");
  const requests: TraceRequest[] = [];
  return {
    line: (text, number) => {
      const cells = cellsOf(text);
      const value = {
        [time.title]: cells[time.at],
        [input.title]: numberOf(cells[input.at]),
        [output.title]: numberOf(cells[output.at]),
      };
      const line = { number, value };
      requests.push({
        atMs: timeMs(line, time.title, 1_000),
        inputTokens: tokens(line, input.title),
        outputTokens: tokens(line, output.title),
        prefix: 0,
        session: -1,
        after: -1,
        pauseMs: 0,
      });
    },
    end: () => ({ blockTokens: 512, prefixes: new Prefixes(), requests }),
  };
}

function cellsOf(row: string): string[] {
  return row
    .trim()
    .split(",")
    .map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
}

/** What is no number is shown as it stands. */
function numberOf(cell: string | undefined): number | string | undefined {
  const number = cell === undefined || cell === "" ? Number.NaN : Number(cell);
  return Number.isNaN(number) ? cell : number;
}
