import { type Load, type Portion, rampMs } from "./load.ts";
import type { Ask } from "./wire.ts";

const KB = 1_024;
const MB = 1_024 * KB;
const RAMP_PER_MS = 4;
/** Streams that are to last to the end of the window go on for so long after it. */
const SUSTAIN_MS = 500;

export interface Work {
  name: string;
  title: string;
  connections: number;
  portions: readonly Portion[];
  ratePerS: number | null;
  /** Nodes that serve the benchmark's model, and others that are only registered. */
  nodes: number;
  others: number;
  /** What CPU time is counted for. */
  unit: "request" | "chunk";
  /** So few bytes pass that the way of a request is what counts, and takes time until it is compiled. */
  compilesLong?: boolean;
  /** False where the load sets the pace, and rate says nothing of who is fastest. */
  isPacedByContestant: boolean;
  /** Whose figures the work gives: all contestants', or only of those that watch nodes. */
  onlyWatchers?: boolean;
  /** Only lmproxy and what it is measured by: how others' cost grows is their affair. */
  isForCoreField?: boolean;
}

const json = (bodyBytes: number): Ask => ({ stream: false, chunks: 0, everyMs: 0, bodyBytes });
const stream = (chunks: number, everyMs: number): Ask => ({
  stream: true,
  chunks,
  everyMs,
  bodyBytes: KB,
});
/** A stream without end: `loadOf` gives it as many chunks as the window needs. */
const endless = (everyMs: number) => stream(0, everyMs);

const shared = { ratePerS: null, nodes: 1, others: 0 };

export function requests(
  name: string,
  title: string,
  bodyBytes: number,
  change: Partial<Work> = {},
): Work {
  const portions = [{ share: 1, ask: json(bodyBytes) }];
  const kind = { unit: "request", isPacedByContestant: true, compilesLong: true } as const;
  return { ...shared, ...kind, name, title, connections: 64, portions, ...change };
}

function streams(name: string, title: string, connections: number, everyMs: number): Work {
  const portions = [{ share: 1, ask: endless(everyMs) }];
  const kind = { unit: "chunk", isPacedByContestant: false } as const;
  return { ...shared, ...kind, name, title, connections, portions };
}

/** Works of the benchmark proper. */
export const MAIN_WORKS: readonly Work[] = [
  requests("A", "POST 1 KB, JSON answer of 600 B, 64 connections", KB),
  requests("A256", "A with 256 connections", KB, { connections: 256 }),
  {
    ...requests("B", "SSE as fast as it comes, 512 chunks, 16 connections", KB, {
      connections: 16,
    }),
    portions: [{ share: 1, ask: stream(512, 0) }],
    unit: "chunk",
    compilesLong: false,
  },
  streams("C", "256 streams with a chunk each 5 ms", 256, 5),
  requests("D", "POST 1 MB, JSON answer, 16 connections", MB, { connections: 16 }),
  streams("E", "2,000 streams with a chunk each 100 ms", 2_000, 100),
  {
    ...requests(
      "F",
      "mixed: 70 % chat streams of 40 chunks, 20 % short, 10 % of 1 MB; 5 % leave",
      KB,
    ),
    portions: [
      { share: 0.7, ask: stream(40, 5), leaving: 0.05 / 0.7 },
      { share: 0.2, ask: json(KB) },
      { share: 0.1, ask: json(MB) },
    ],
    isPacedByContestant: false,
  },
  {
    ...requests("G", "A to one node while 255 more, serving another model, are registered", KB),
    others: 255,
    onlyWatchers: true,
  },
  {
    ...requests("L", "latency: 200 streams a second of 16 chunks each 5 ms, 16 at a time", KB),
    portions: [{ share: 1, ask: stream(16, 5) }],
    ratePerS: 200,
    unit: "chunk",
    isPacedByContestant: false,
  },
];

/** How cost grows; A spread over nodes has no target. */
export const GROWTH_WORKS: readonly Work[] = growthWorks().map((work) => ({
  ...work,
  isForCoreField: true,
}));

function growthWorks(): Work[] {
  return [
    ...[16, 64, 256].map((nodes) => requests(`A/${nodes}`, `A over ${nodes} nodes`, KB, { nodes })),
    ...[16, 256, 1_024, 4_096].map((count) => {
      // About 20,000 chunks a second, however many streams share them.
      const everyMs = Math.max(1, Math.round(count / 20));
      return streams(
        `S/${count}`,
        `${count} streams with a chunk each ${everyMs} ms`,
        count,
        everyMs,
      );
    }),
    ...[16, 128].map((size) =>
      requests(`P/${size}`, `POST ${size} KB, JSON answer, 16 connections`, size * KB, {
        connections: 16,
      }),
    ),
  ];
}

export const WORKS: readonly Work[] = [...MAIN_WORKS, ...GROWTH_WORKS];

export interface Window {
  warmMs: number;
  /** The same for works that compile long. */
  longWarmMs?: number;
  measureMs: number;
}

/** What the load generator is told for a work; `port` and the processes are the cell's. */
export function loadOf(
  work: Work,
  window: Window,
  cell: Pick<Load, "port" | "exactBytes" | "contestantPid" | "enginePid" | "cores">,
): Load {
  const { measureMs } = window;
  const warmMs = (work.compilesLong ? window.longWarmMs : undefined) ?? window.warmMs;
  const totalMs = rampMs(work.connections, RAMP_PER_MS) * 1.2 + warmMs + measureMs + SUSTAIN_MS;
  const sustained = (ask: Ask): Ask =>
    ask.stream && ask.chunks === 0 ? { ...ask, chunks: Math.ceil(totalMs / ask.everyMs) } : ask;
  return {
    ...cell,
    warmMs,
    measureMs,
    connections: work.connections,
    portions: work.portions.map((each) => ({ ...each, ask: sustained(each.ask) })),
    ratePerS: work.ratePerS,
    stallMs: 10_000,
    rampPerMs: RAMP_PER_MS,
  };
}

/** Descriptors a contestant needs: two a connection, one a node for its probes, and some of its own. */
export function descriptorsFor(work: Work): number {
  return 2 * work.connections + work.nodes + work.others + 200;
}
