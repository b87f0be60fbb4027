import { expect, test } from "bun:test";
import { Histogram } from "../../bench/histogram.ts";
import type { Measured } from "../../bench/load.ts";
import type { Cell, ContestantFacts, RawResults } from "../../bench/raw.ts";
import { performancePage } from "../../bench/report.ts";
import { FIGURES, ratioOf } from "../../bench/summary.ts";

function measured(cpuPerRequestUs: number, foreignShare = 0): Measured {
  const times = new Histogram();
  for (let us = 100; us < 200; us++) times.record(us);
  const sparse = times.sparse();
  return {
    seconds: 1,
    requests: 1_000,
    chunks: 0,
    failed: 0,
    reasons: {},
    left: 0,
    unsent: 0,
    connects: 64,
    cpuUs: cpuPerRequestUs * 1_000,
    engineCpuUs: 1e5,
    generatorCpuUs: 1e5,
    foreignShare,
    peakBytes: 1e7,
    latenessP99Us: 0,
    firstByte: sparse,
    whole: sparse,
    chunk: [],
  };
}

const facts = (name: string, absent: string | null): ContestantFacts => ({
  name,
  title: name,
  settings: "its best",
  isBuild: ["lmproxy", "base"].includes(name),
  version: absent === null ? "1.0" : null,
  absent,
});

const cell = (contestant: string, round: number, cpuUs: number, problem: string | null = null) =>
  ({ work: "A", contestant, round, problem, measured: measured(cpuUs) }) satisfies Cell;

const ceiling = { ...measured(0), requests: 50_000 };

const raw: RawResults = {
  format: 2,
  command: "bun run bench --only A --json figures.json",
  startedAt: "2026-11-23T12:00:00.000Z",
  tookSeconds: 120,
  machine: {
    cpu: "Some CPU",
    cores: 2,
    kernel: "6.1",
    memoryBytes: 2 ** 34,
    distribution: "Debian",
    bun: "1.4.5",
    loadAverage: 0.1,
  },
  cores: { contestant: 0, engine: 1, generator: 1 },
  rounds: 4,
  retries: 0,
  window: { warmMs: 1_000, measureMs: 4_000 },
  contestants: [
    facts("lmproxy", null),
    facts("nginx", null),
    facts("haproxy", "haproxy is not installed"),
    facts("smg", "no network"),
  ],
  ceilings: [{ work: "A", requestsPerS: 50_000, chunksPerS: 0, measured: ceiling }],
  cells: [
    cell("nginx", 1, 10),
    cell("lmproxy", 1, 20),
    cell("nginx", 2, 20),
    cell("lmproxy", 2, 44),
    cell("nginx", 3, 10),
    cell("lmproxy", 3, 1, "3 failed requests"),
    cell("nginx", 4, 10),
    cell("lmproxy", 4, 21),
  ],
  starts: [],
  notes: [],
};

/** Cells of the table row that begins with these words, in the n-th table that has one. */
function row(page: string, start: string, nth = 0): string[] {
  const lines = page.split("\n").filter((line) => line.startsWith(`| ${start} |`));
  return (lines[nth] ?? "").split("|").map((text) => text.trim());
}

test("ratios are of the same round, and a round with a failed request does not count", () => {
  expect(ratioOf(raw, "A", "lmproxy", FIGURES.cpuPerRequestUs)).toEqual({
    median: 2.1,
    min: 2,
    max: 2.2,
    rounds: 3,
  });
  const page = performancePage(raw);
  expect(row(page, "lmproxy")[2]).toBe("2.10 (2.00–2.20), 1 of 4 failed");
  expect(page).toContain("| A | lmproxy | 3 failed requests | 1 |");
});

test("who is absent is called absent, with the reason, and never given a figure", () => {
  const page = performancePage(raw);
  expect(row(page, "haproxy")[2]).toBe("absent");
  expect(page).toContain("| haproxy | absent: haproxy is not installed | its best |");
  expect(row(page, "less CPU than smg in every work").at(-2)).toBe("absent");
});

test("another build in the run is what lmproxy is a ratio to, round by round", () => {
  expect(performancePage(raw)).not.toContain("another build");
  const cells = [1, 2, 4].map((round) => cell("base", round, 40));
  const two = {
    ...raw,
    contestants: [...raw.contestants, facts("base", null)],
    cells: [...raw.cells, ...cells],
  };
  const line = performancePage(two)
    .split("\n")
    .find((each) => each.includes("| base | 0."));
  expect(line).toBe("| base | 0.53 (0.50–1.10) | – | – | – | – | – | – |");
});

test("a target is judged by the figures, and one without figures is not", () => {
  const page = performancePage(raw);
  expect(row(page, "A CPU per request, 64 connections").slice(1, 6)).toEqual([
    "A CPU per request, 64 connections",
    "2.4",
    "1.9",
    "2.10",
    "met",
  ]);
  expect(row(page, "D CPU per request").at(-2)).toBe("not measured");
  const slower = raw.cells.map((each) => ({ ...each, measured: measured(50) }));
  const missed = raw.cells.map((each, i) =>
    each.contestant === "nginx" ? each : (slower[i] ?? each),
  );
  const worse = performancePage({ ...raw, cells: missed });
  expect(row(worse, "A CPU per request, 64 connections").at(-2)).toBe("not met");
});

test("a disturbed round is left out when there are enough calm ones", () => {
  const disturbed = [cell("nginx", 5, 10), cell("lmproxy", 5, 90)].map((each) => ({
    ...each,
    measured: { ...each.measured, foreignShare: 0.5 },
  }));
  const more = { ...raw, rounds: 5, cells: [...raw.cells, ...disturbed] };
  expect(ratioOf(more, "A", "lmproxy", FIGURES.cpuPerRequestUs)?.max).toBe(2.2);
});

test("no verdict is given where others used the cores in most rounds", () => {
  const cells = raw.cells.map((each) => ({ ...each, measured: measured(10, 0.5) }));
  const page = performancePage({ ...raw, cells });
  expect(row(page, "A CPU per request, 64 connections").at(-2)).toBe(
    "no verdict: fewer than 3 calm rounds",
  );
  expect(page).toContain("8 of 8 measurements were disturbed");
});

test("a rate near what the generator can do is marked", () => {
  const ceilings = [{ work: "A", requestsPerS: 0, chunksPerS: 0, measured: measured(0) }];
  const near = { ...raw, ceilings };
  expect(row(performancePage(raw), "lmproxy")[2]).not.toContain("▲");
  expect(row(performancePage(near), "lmproxy")[2]).toContain("▲");
});

test("the page names the command that makes it", () => {
  const page = performancePage(raw);
  expect(page).toContain(raw.command);
  expect(page).toContain("bun bench/report.ts figures.json");
});
