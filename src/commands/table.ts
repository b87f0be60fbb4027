/** Tables for people at a terminal. Pure. */

/** What a terminal shows of a line without breaking it. */
export const WIDTH = 80;

/** Engines and clients choose names and errors: none of it may move a terminal's cursor. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}

export function count(number: number, one: string): string {
  return `${number} ${one}${number === 1 ? "" : "s"}`;
}

export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/**
 * A line of titles and one for each row, each with its end.
 * @param columns Each begins with its title.
 * @param dispensable Titles of columns that go, the first of them first, until a line fits.
 */
export function tableLines(
  columns: readonly (readonly string[])[],
  dispensable: readonly string[],
): string[] {
  let shown = columns.map((column) => column.map(plain));
  for (const title of dispensable) {
    if (widthOf(shown) <= WIDTH) break;
    shown = shown.filter(([name]) => name !== title);
  }
  const widths = shown.map(widest);
  return Array.from({ length: columns[0]?.length ?? 0 }, (_, row) => {
    const cells = shown.map((column, at) => (column[row] ?? "").padEnd(widths[at] ?? 0));
    return `${cells.join("  ").trimEnd()}\n`;
  });
}

function widest(column: readonly string[]): number {
  return Math.max(...column.map((cell) => cell.length));
}

function widthOf(columns: readonly (readonly string[])[]): number {
  return columns.reduce((sum, column) => sum + widest(column) + 2, -2);
}

/** Lines of at most `width` characters where words allow it, those after the first a little deeper. */
export function wrapped(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    const isFirst = line.trim() === "";
    if (!isFirst && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `${indent}  ${word}`;
    } else line += isFirst ? word : ` ${word}`;
  }
  return [...lines, line].map((one) => `${one}\n`).join("");
}

/** Seconds in the unit that a person reads fastest: an engine's first byte may be a few ms. */
export function shortTime(s: number): string {
  if (s < 0.01) return `${Number((1_000 * s).toPrecision(2))} ms`;
  if (s < 0.9995) return `${Math.round(1_000 * s)} ms`;
  if (s < 10) return `${s.toFixed(2)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7_200) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${Math.round(s / 3_600)} h` : `${Math.round(s / 86_400)} d`;
}
