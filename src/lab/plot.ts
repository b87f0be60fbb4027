/** What a run looked like, as a picture: how TTFT is distributed, and what the nodes had in flight over time. */
import { scaleLinear, scaleLog } from "d3-scale";
import { line } from "d3-shape";
import { type Replayed, SAMPLE_MS } from "./replay.ts";

const WIDTH = 900;
const PANEL = { left: 60, right: 180, top: 30, height: 220, gap: 60 } as const;
const COLOURS = [
  "#4477aa",
  "#ee6677",
  "#228833",
  "#ccbb44",
  "#66ccee",
  "#aa3377",
  "#777777",
] as const;
/** Points of a curve. */
const POINTS = 200;

type Point = readonly [x: number, y: number];

/** An SVG document; one curve a run for TTFT, one panel a run for the load. */
export function plot(runs: readonly Replayed[]): string {
  const panels = [ttftPanel(runs, PANEL.top)];
  runs.forEach((run, i) => {
    panels.push(loadPanel(run, PANEL.top + (i + 1) * (PANEL.height + PANEL.gap)));
  });
  const height = PANEL.top + panels.length * (PANEL.height + PANEL.gap);
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
    `font-family="sans-serif" font-size="12">\n` +
    `<rect width="${WIDTH}" height="${height}" fill="white"/>\n${panels.join("\n")}\n</svg>\n`
  );
}

function ttftPanel(runs: readonly Replayed[], top: number): string {
  const most = Math.max(0.1, ...runs.map(({ ttftS }) => ttftS.at(-1) ?? 0));
  const x = scaleLog([0.01, most], [PANEL.left, WIDTH - PANEL.right]).clamp(true);
  const y = scaleLinear([0, 1], [top + PANEL.height, top]);
  const curves = runs.map(({ row, ttftS }, i) => {
    const points = Array.from({ length: POINTS + 1 }, (_, at): Point => {
      const fraction = at / POINTS;
      const value = ttftS[Math.min(ttftS.length - 1, Math.floor(fraction * ttftS.length))];
      return [x(value ?? 0.01), y(fraction)];
    });
    return curve(points, i) + legend(row.strategy, i, top);
  });
  const ticks = x.ticks(5).filter((at) => Number.isInteger(Math.log10(at) + 1e-9) || at < most);
  return (
    title("Share of requests with a TTFT of at most, s", top) +
    axes(
      ticks.filter((at) => /^[1]/.test(String(at).replace(/^0\.0*/, ""))),
      x,
      [0, 0.5, 0.9, 1],
      y,
      top,
    ) +
    curves.join("")
  );
}

function loadPanel({ row, load }: Replayed, top: number): string {
  const most = Math.max(1, ...load.flat());
  const seconds = (load.length * SAMPLE_MS) / 1_000;
  const x = scaleLinear([0, seconds], [PANEL.left, WIDTH - PANEL.right]);
  const y = scaleLinear([0, most], [top + PANEL.height, top]);
  const nodes = Math.max(0, ...load.map((sample) => sample.length));
  const curves = Array.from({ length: nodes }, (_, node) => {
    const points = load.map(
      (sample, i): Point => [x(((i + 1) * SAMPLE_MS) / 1_000), y(sample[node] ?? 0)],
    );
    return curve(points, node, 0.7);
  });
  const name = `${row.strategy}: requests in flight at each node, over time in s`;
  return title(name, top) + axes(x.ticks(6), x, y.ticks(4), y, top) + curves.join("");
}

function curve(points: readonly Point[], index: number, width = 1.5): string {
  const path = line()(points.map(([x, y]): [number, number] => [x, y])) ?? "";
  return `<path d="${path}" fill="none" stroke="${colour(index)}" stroke-width="${width}"/>\n`;
}

function legend(name: string, index: number, top: number): string {
  const y = top + 14 + index * 16;
  const x = WIDTH - PANEL.right + 12;
  return (
    `<rect x="${x}" y="${y - 8}" width="12" height="3" fill="${colour(index)}"/>` +
    `<text x="${x + 18}" y="${y}">${escaped(name)}</text>\n`
  );
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length] ?? "black";
}

function title(text: string, top: number): string {
  return `<text x="${PANEL.left}" y="${top - 10}" font-weight="bold">${escaped(text)}</text>\n`;
}

function axes(
  xTicks: readonly number[],
  x: (value: number) => number,
  yTicks: readonly number[],
  y: (value: number) => number,
  top: number,
): string {
  const bottom = top + PANEL.height;
  const right = WIDTH - PANEL.right;
  const ofX = xTicks.map(
    (at) =>
      `<line x1="${x(at)}" x2="${x(at)}" y1="${top}" y2="${bottom}" stroke="#ddd"/>` +
      `<text x="${x(at)}" y="${bottom + 16}" text-anchor="middle">${at}</text>`,
  );
  const ofY = yTicks.map(
    (at) =>
      `<line x1="${PANEL.left}" x2="${right}" y1="${y(at)}" y2="${y(at)}" stroke="#ddd"/>` +
      `<text x="${PANEL.left - 6}" y="${y(at) + 4}" text-anchor="end">${at}</text>`,
  );
  return `${[...ofX, ...ofY].join("\n")}\n`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
