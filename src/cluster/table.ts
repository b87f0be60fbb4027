/**
 * What the processes of one proxy count together, in memory that all of them have mapped: a row for each process, which
 * nobody else writes, and a column for each thing that is counted. The sum of a column is the truth; a process that dies
 * leaves a row behind, and clearing that is all there is to do.
 */
import { Lock } from "./lock.ts";

/** Nodes that are counted over all processes; what lies beyond is counted by each for itself. */
export const MOST_SLOTS = 4_096;
/** Models whose queues know of each other. */
export const MOST_QUEUES = 1_024;
/** Clients that are told apart at a time. */
export const MOST_CLIENTS = 16_384;

/** Requests in flight on a node, by its slot. */
const IN_FLIGHT = 0;
/** Pieces of answers that a node has sent; a count that goes round. */
const PIECES = IN_FLIGHT + MOST_SLOTS;
/** The longest prompt that has no first word yet, bytes. */
const LONGEST = PIECES + MOST_SLOTS;
/** Since when the first request waits for a model; 0 for none. */
const SINCE = LONGEST + MOST_SLOTS;
/** Requests that have a place. */
const PLACES = SINCE + MOST_QUEUES;
/** Requests that wait. */
const WAITING = PLACES + 1;
/** Requests of a client that have a place. */
const OF_CLIENT = WAITING + 1;

/** Numbers that stand before the columns: how many rows are in use, and who makes room for a client. */
const HEAD = 16;
const ROWS_IN_USE = 0;
const LOCK = 1;

/** A client's number is looked for at so many places from the one that its hash names. */
const NEAR = 32;
/** A place for a client that is just being given up. */
const BUSY = -1n;

export interface TableSize {
  readonly rows: number;
  /** Clients that are told apart at a time; 0 where they are not counted. */
  readonly clients: number;
}

/** Bytes that a table takes. */
export function tableBytes({ rows, clients }: TableSize): number {
  return HEAD * 4 + clients * 8 + (OF_CLIENT + clients) * rows * 4;
}

export class Table {
  readonly rows: number;
  readonly #clientCount: number;
  readonly #columns: number;
  readonly #head: Int32Array;
  readonly #clients: BigInt64Array;
  /** A column's numbers lie side by side: they are read together. */
  readonly #cells: Int32Array;
  readonly #lock: Lock;

  /** @param memory As long as `tableBytes` says, shared by all, and zero at first. */
  constructor({ buffer, byteOffset }: Uint8Array, { rows, clients }: TableSize) {
    this.rows = rows;
    this.#clientCount = clients;
    this.#columns = OF_CLIENT + clients;
    this.#head = new Int32Array(buffer, byteOffset, HEAD);
    this.#lock = new Lock(this.#head, LOCK);
    this.#clients = new BigInt64Array(buffer, byteOffset + HEAD * 4, clients);
    this.#cells = new Int32Array(buffer, byteOffset + HEAD * 4 + clients * 8, this.#columns * rows);
  }

  /** Rows are read up to the highest that is in use. */
  get rowsInUse(): number {
    return this.#head[ROWS_IN_USE] ?? 0;
  }

  set rowsInUse(count: number) {
    Atomics.store(this.#head, ROWS_IN_USE, count);
  }

  /** Nobody writes the row any more, or not yet. Pieces go to row `to`, since their sum only grows. */
  clear(row: number, to: number): void {
    for (let column = 0; column < this.#columns; column += 1) {
      const from = column * this.rows;
      const count = this.#cells[from + row] ?? 0;
      if (count === 0) continue;
      if (column >= PIECES && column < LONGEST) Atomics.add(this.#cells, from + to, count);
      Atomics.store(this.#cells, from + row, 0);
    }
    this.#lock.free(row);
  }

  inFlight(slot: number): number {
    return this.#sum(IN_FLIGHT + slot);
  }

  pieces(slot: number): number {
    return this.#sum(PIECES + slot);
  }

  get places(): number {
    return this.#sum(PLACES);
  }

  ofRow(row: number): Row {
    return new Row(this, this.#cells, row);
  }

  /** The sum of a column as it is at one moment after the call, if nobody but rows' owners writes. */
  #sum(column: number): number {
    const from = column * this.rows;
    const end = from + this.rowsInUse;
    let sum = 0;
    for (let at = from; at < end; at += 1) sum += this.#cells[at] ?? 0;
    return sum;
  }

  /** Where requests of the client with this hash are counted; null when there is no room for it, or who makes it stands still. */
  clientColumn(hash: bigint, row: number): number | null {
    const found = this.#find(hash);
    if (found !== null) return found;
    this.#lock.held(row, () => {
      if (this.#find(hash) !== null) return;
      const free = this.#near(hash).find((at) => this.#clients[at] === 0n);
      if (free !== undefined) Atomics.store(this.#clients, free, hash);
    });
    return this.#find(hash);
  }

  /** Whether the column is still that client's. */
  isClient(column: number, hash: bigint): boolean {
    return Atomics.load(this.#clients, column) === hash;
  }

  /** Gives up the numbers of clients that have nothing here. */
  forgetClients(row: number): void {
    for (let at = 0; at < this.#clientCount; at += 1) {
      const hash = this.#clients[at] ?? 0n;
      if (hash === 0n || this.#sum(OF_CLIENT + at) > 0) continue;
      const looked = this.#lock.held(row, () => {
        // Whoever takes a place counts first and looks then whether it counted in the right column.
        Atomics.store(this.#clients, at, BUSY);
        Atomics.store(this.#clients, at, this.#sum(OF_CLIENT + at) === 0 ? 0n : hash);
      });
      if (!looked) return;
    }
  }

  #find(hash: bigint): number | null {
    return this.#near(hash).find((at) => Atomics.load(this.#clients, at) === hash) ?? null;
  }

  #near(hash: bigint): number[] {
    const first = Number(BigInt.asUintN(32, hash)) % this.#clientCount;
    return Array.from({ length: NEAR }, (_, step) => (first + step) % this.#clientCount);
  }
}

/** What one process writes. */
export class Row {
  readonly number: number;
  readonly #table: Table;
  readonly #cells: Int32Array;
  readonly #stride: number;

  constructor(table: Table, cells: Int32Array, number: number) {
    this.#table = table;
    this.#stride = table.rows;
    this.#cells = cells;
    this.number = number;
  }

  /** Requests that other processes have in flight on the node of this slot. */
  inFlightElsewhere(slot: number): number {
    const cells = this.#cells;
    const from = (IN_FLIGHT + slot) * this.#stride;
    const end = from + this.#table.rowsInUse;
    let sum = 0;
    // Read for every node of every choice, which can be out of date by one anyway: no need for Atomics.
    for (let at = from; at < end; at += 1) sum += cells[at] ?? 0;
    return sum - (cells[from + this.number] ?? 0);
  }

  /** Adds one if there are then at most `most` over all rows. */
  beginOn(slot: number, most: number): boolean {
    return this.#take(IN_FLIGHT + slot, most);
  }

  endOn(slot: number): void {
    Atomics.sub(this.#cells, this.#at(IN_FLIGHT + slot), 1);
  }

  takePlace(most: number): boolean {
    return this.#take(PLACES, most);
  }

  givePlace(): void {
    Atomics.sub(this.#cells, this.#at(PLACES), 1);
  }

  takeForClient(column: number, most: number): boolean {
    return this.#take(OF_CLIENT + column, most);
  }

  giveForClient(column: number): void {
    Atomics.sub(this.#cells, this.#at(OF_CLIENT + column), 1);
  }

  /** The node of this slot has sent this process so many pieces of answers. */
  addPieces(slot: number, count: number): void {
    if (slot < MOST_SLOTS) Atomics.add(this.#cells, this.#at(PIECES + slot), count);
  }

  /** What other processes have had from it. */
  piecesElsewhere(slot: number): number {
    return this.#elsewhere(PIECES + slot, this.#table.rowsInUse);
  }

  /** Of the requests that this process has on the node and that have no first word yet. Most are as long as one before. */
  longestIs(slot: number, bytes: number): void {
    const at = this.#at(LONGEST + slot);
    if (this.#cells[at] !== bytes) Atomics.store(this.#cells, at, bytes);
  }

  longestElsewhere(slot: number): number {
    const from = (LONGEST + slot) * this.#stride;
    let longest = 0;
    for (let row = 0; row < this.#table.rowsInUse; row += 1) {
      if (row !== this.number) longest = Math.max(longest, this.#cells[from + row] ?? 0);
    }
    return longest;
  }

  waits(queue: number, since: number): void {
    Atomics.store(this.#cells, this.#at(SINCE + queue), since);
  }

  /** Whether its first of one of so many queues has waited for as long as any. */
  isFirst(queues: number, isSilent: (row: number) => boolean): boolean {
    for (let queue = 0; queue < queues; queue += 1) {
      const since = this.#cells[this.#at(SINCE + queue)] ?? 0;
      if (since !== 0 && !this.isAhead(queue, since, isSilent)) return true;
    }
    return false;
  }

  waiting(count: number): void {
    Atomics.store(this.#cells, this.#at(WAITING), count);
  }

  get waitingElsewhere(): number {
    return this.#elsewhere(WAITING, this.#table.rowsInUse);
  }

  /** Whether another process, but for those that do nothing, has one that waits for longer than since `since`. */
  isAhead(queue: number, since: number, isSilent: (row: number) => boolean): boolean {
    const from = (SINCE + queue) * this.#stride;
    for (let row = 0; row < this.#table.rowsInUse; row += 1) {
      const theirs = this.#cells[from + row] ?? 0;
      // Of numbers that go round, the difference tells which is the earlier one.
      const isEarlier = theirs !== 0 && row !== this.number && ((theirs - since) | 0) < 0;
      if (isEarlier && !isSilent(row)) return true;
    }
    return false;
  }

  /**
   * Counting first and looking then, nobody overlooks anybody: of two that take the last place at once at least one
   * sees both. Whoever sees too many takes back; when both do, they look again.
   */
  #take(column: number, most: number): boolean {
    const at = this.#at(column);
    Atomics.add(this.#cells, at, 1);
    if (most === Number.POSITIVE_INFINITY) return true;
    for (let look = 0; ; look += 1) {
      const others = this.#elsewhere(column, this.#table.rowsInUse);
      if (others + Atomics.load(this.#cells, at) <= most) return true;
      Atomics.sub(this.#cells, at, 1);
      const left = this.#elsewhere(column, this.#table.rowsInUse);
      if (look === LOOKS || left + Atomics.load(this.#cells, at) >= most) return false;
      Atomics.add(this.#cells, at, 1);
    }
  }

  #elsewhere(column: number, rows: number): number {
    const from = column * this.#table.rows;
    let sum = 0;
    for (let row = 0; row < rows; row += 1) {
      if (row !== this.number) sum += Atomics.load(this.#cells, from + row);
    }
    return sum;
  }

  #at(column: number): number {
    return column * this.#table.rows + this.number;
  }
}

/** Two that take back at the same time soon do so no more: one of them is faster. */
const LOOKS = 16;
