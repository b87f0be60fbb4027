/**
 * Figures as one character each, for lines 20 pixels high: exact up to 20, then to 8 %. Shared with the
 * page, which runs in a browser.
 */
import { NOTHING } from "./live-frame.ts";

const EXACT = 20;
const GROWTH = 1.15;
/** Printable ASCII, without what JSON escapes. */
const CHARACTERS = Array.from({ length: 92 }, (_, at) => String.fromCharCode(35 + at)).filter(
  (character) => character !== "\\",
);

/** What the characters mean, in their order: nothing, the small numbers, and ever wider steps. */
const LEVELS: readonly number[] = CHARACTERS.map((_, level) => {
  if (level === 0) return NOTHING;
  const steps = level - 1 - EXACT;
  return steps <= 0 ? level - 1 : Math.round(Number((EXACT * GROWTH ** steps).toPrecision(2)));
});

const LEVEL_OF = new Map(CHARACTERS.map((character, level) => [character, level]));

/** @param value From 0 on, or `NOTHING`; above 300,000 it is no more than that. */
export function levelOf(value: number): number {
  if (value < 0) return 0;
  if (value <= EXACT) return Math.round(value) + 1;
  const steps = Math.round(Math.log(value / EXACT) / Math.log(GROWTH));
  return Math.min(1 + EXACT + steps, LEVELS.length - 1);
}

export function drawLevels(levels: Iterable<number>): string {
  let text = "";
  for (const level of levels) text += CHARACTERS[level] ?? CHARACTERS[0];
  return text;
}

/** The values that a text stands for. */
export function readLevels(text: string): number[] {
  return [...text].map((character) => LEVELS[LEVEL_OF.get(character) ?? 0] ?? NOTHING);
}
