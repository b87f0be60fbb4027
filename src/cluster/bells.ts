/**
 * How one process of a proxy has another look at once, in place of now and then: a signal. Whom to send it, whether it
 * is wanted at all, and whether anybody looks there, stands in memory that all of them have mapped. Each writes its own
 * numbers there; who clears the row of one that has died clears these, too. It is a signal that a program ignores unless
 * it asks for it: a number that is another program's by then does that no harm.
 */

/** Sent by nobody else, unless a socket is told to: `F_SETOWN` (fcntl(2)). */
export const BELL = "SIGURG";

const PID = 0;
const WISH = 1;
/** When it looked for whoever waits there, by the wall clock, ms, in 32 bits; 0 before. */
const LOOKED = 2;
const NUMBERS = 3;

/** Who waits in a process that looks no more is not waited for, ms: it is stopped, or hangs, and takes no place. */
const SILENT_AFTER_MS = 1_000;

/** A process is rung never, when one that waits there has waited for as long as any, or for every place. */
export const NEVER = 0;
export const ITS_TURN = 1;
export const ALWAYS = 2;

export function bellBytes(rows: number): number {
  return rows * NUMBERS * 4;
}

export class Bells {
  readonly #cells: Int32Array;
  readonly #signal: (pid: number) => void;

  /** @param memory As long as `bellBytes` says, shared by all, and zero at first. */
  constructor({ buffer, byteOffset }: Uint8Array, rows: number, signal = sendBell) {
    this.#cells = new Int32Array(buffer, byteOffset, rows * NUMBERS);
    this.#signal = signal;
  }

  /** The process of this number has the row, and listens. */
  hangs(row: number, pid: number): void {
    Atomics.store(this.#cells, row * NUMBERS + PID, pid);
  }

  /** Nobody listens any more. */
  clear(row: number): void {
    this.wish(row, NEVER);
    this.looked(row, 0);
    this.hangs(row, 0);
  }

  wish(row: number, when: number): void {
    Atomics.store(this.#cells, row * NUMBERS + WISH, when);
  }

  wishOf(row: number): number {
    return Atomics.load(this.#cells, row * NUMBERS + WISH);
  }

  looked(row: number, wallMs: number): void {
    Atomics.store(this.#cells, row * NUMBERS + LOOKED, wallMs);
  }

  isSilent(row: number, wallMs: number): boolean {
    const looked = Atomics.load(this.#cells, row * NUMBERS + LOOKED);
    // Also where the clock was put back: who lives has looked again at once.
    return looked !== 0 && Math.abs((wallMs - looked) | 0) > SILENT_AFTER_MS;
  }

  ring(row: number): void {
    const pid = Atomics.load(this.#cells, row * NUMBERS + PID);
    if (pid > 0) this.#signal(pid);
  }

  /** Whoever waits for anything. */
  ringAll(): void {
    for (let row = 0; row * NUMBERS < this.#cells.length; row += 1) {
      if (this.wishOf(row) !== NEVER) this.ring(row);
    }
  }
}

function sendBell(pid: number): void {
  try {
    process.kill(pid, BELL);
  } catch {
    // It has gone, or a sandbox allows no signals: it looks by itself, later.
  }
}
