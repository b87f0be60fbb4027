import { NOTHING, STEPS } from "../observe/live-frame.ts";

const HEIGHT = 20;

/** Fifteen minutes as a line, without a word: what it says stands beside it. */
export function Spark({ values, filled = false }: { values: Float32Array; filled?: boolean }) {
  const most = Math.max(1, ...values);
  const y = (value: number) => (HEIGHT - 1 - ((HEIGHT - 2) * value) / most).toFixed(1);
  let path = "";
  let isDrawing = false;
  for (const [x, value] of values.entries()) {
    if (value === NOTHING) isDrawing = false;
    else {
      // A step alone is a dot.
      path += isDrawing ? `L${x} ${y(value)}` : `M${x} ${y(value)}h.5`;
      isDrawing = true;
    }
  }
  return (
    <svg
      class={filled ? "spark filled" : "spark"}
      viewBox={`0 0 ${STEPS} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <path d={path} />
    </svg>
  );
}

/** What of a series can be said in words. */
export function highest(values: Float32Array): number | null {
  const most = Math.max(...values);
  return most === NOTHING ? null : most;
}
