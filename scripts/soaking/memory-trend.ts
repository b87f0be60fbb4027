import { residentBytes } from "../../test/support/memory.ts";

const SAMPLE_MS = 1_000;
/** The first part of a run, while caches and pools fill, says nothing of what comes after. */
const WARM_UP_SHARE = 0.3;

/** Of the samples of so long only the least counts: what a collection leaves, not what came since. */
const WINDOW_MS = 20_000;

/** In less time than this, what a collector does outweighs what leaks. */
const TELLING_S = 600;

interface Sample {
  readonly atMs: number;
  readonly bytes: number;
}

function leastOfWindows(samples: readonly Sample[]): Sample[] {
  const least = new Map<number, Sample>();
  for (const sample of samples) {
    const window = Math.floor(sample.atMs / WINDOW_MS);
    const known = least.get(window);
    if (known === undefined || sample.bytes < known.bytes) least.set(window, sample);
  }
  return [...least.values()];
}

/** Watches the memory of a process. */
export class MemoryTrend {
  readonly #pid: number;
  readonly #samples: Sample[] = [];
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#sample();
  }

  #sample(): void {
    this.#samples.push({ atMs: performance.now(), bytes: residentBytes(this.#pid) });
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#sample();
  }

  /** Slope of the least-squares line through the least of each window after the warm-up, bytes per hour. */
  get bytesPerHour(): number {
    const samples = leastOfWindows(
      this.#samples.slice(Math.floor(this.#samples.length * WARM_UP_SHARE)),
    );
    const n = samples.length;
    const meanAt = samples.reduce((sum, { atMs }) => sum + atMs, 0) / n;
    const meanBytes = samples.reduce((sum, { bytes }) => sum + bytes, 0) / n;
    let covariance = 0;
    let variance = 0;
    for (const { atMs, bytes } of samples) {
      covariance += (atMs - meanAt) * (bytes - meanBytes);
      variance += (atMs - meanAt) ** 2;
    }
    return variance === 0 ? 0 : (covariance / variance) * 3_600_000;
  }

  /** For the table. */
  get text(): string {
    const slope = (this.bytesPerHour / 1e6).toFixed(1);
    const [first, last] = [this.#samples.at(0), this.#samples.at(-1)];
    const seconds = ((last?.atMs ?? 0) - (first?.atMs ?? 0)) / 1_000;
    const atEnd = `${((last?.bytes ?? 0) / 1e6).toFixed(0)} MB at the end`;
    const caveat = seconds < TELLING_S ? " (too short to tell)" : "";
    return `${slope} MB/h over ${seconds.toFixed(0)} s${caveat}, ${atEnd}`;
  }
}
