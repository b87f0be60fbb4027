/** The shared table as the core knows it: what others send to the nodes, and the places of all. */
import type { Awaited, Limit, OtherQueues, PlaceLimits, Places } from "../core/admission/places.ts";
import type { Elsewhere } from "../core/pool/elsewhere.ts";
import { ALWAYS, type Bells, ITS_TURN, NEVER } from "./bells.ts";
import { MOST_QUEUES, MOST_SLOTS, type Row, type Table } from "./table.ts";

/** @param answered Tells others of an answer; null where they cannot be told. */
export function sharedElsewhere(
  row: Row,
  answered: Elsewhere["answered"] | null = null,
): Elsewhere {
  return {
    isShared: true,
    inFlight: (slot) => (slot < MOST_SLOTS ? row.inFlightElsewhere(slot) : 0),
    pieces: (slot) => (slot < MOST_SLOTS ? row.piecesElsewhere(slot) : 0),
    longestBytes: (slot) => (slot < MOST_SLOTS ? row.longestElsewhere(slot) : 0),
    waits: (slot, bytes) => {
      if (slot < MOST_SLOTS) row.longestIs(slot, bytes);
    },
    answered: (slot, latencyMs) => answered?.(slot, latencyMs),
    begin: (slot, most) => slot >= MOST_SLOTS || row.beginOn(slot, most),
    end: (slot) => {
      if (slot < MOST_SLOTS) row.endOn(slot);
    },
  };
}

/**
 * A place that nobody tells of is found within this time, ms: one that was held for a moment while it was looked whether
 * there is a node for it, or whose owner may send no signals.
 */
const RECHECK_MS = 20;
/** Beside a control plane of a version before nobody tells of any. */
const SILENT_RECHECK_MS = RECHECK_MS / 2;

export interface SharedPlacesOptions {
  readonly table: Table;
  readonly row: Row;
  readonly limits: PlaceLimits;
  /** Whether anything limits what runs: else nobody waits for a place, and for whom others wait is theirs. */
  readonly isLimited: boolean;
  /** Wall clock, ms. */
  readonly wallMs: () => number;
  readonly hash: (client: string) => bigint;
  /** Which queue the requests for a model stand in; null for one that has none yet. */
  readonly queueOf: (model: string | null) => number | null;
  /** How many queues there are. */
  readonly queues: () => number;
  /** Null where others would not know of them. */
  readonly bells: Bells | null;
}

/** The places of a proxy that is several processes. */
export class SharedPlaces implements Places, OtherQueues {
  readonly others = this;
  readonly recheckMs: number;
  readonly #options: SharedPlacesOptions;
  /** Whether anything keeps requests waiting that ends in other processes, too. */
  readonly #mayWait: boolean;
  /** Where this process' requests of a client are counted, and how many it has. */
  readonly #clients = new Map<string, { readonly column: number | null; count: number }>();
  #waiting = new Map<number, number>();
  #isPassing = false;
  #look = () => {};

  constructor(options: SharedPlacesOptions) {
    const { bells, isLimited, limits } = options;
    this.#options = options;
    this.#mayWait = isLimited || limits.maxPerClient !== Number.POSITIVE_INFINITY;
    this.recheckMs = bells === null ? SILENT_RECHECK_MS : RECHECK_MS;
  }

  take(client: string): Limit | null {
    const { limits, row } = this.#options;
    const { maxPerClient, maxConcurrency } = limits;
    const isCounted = maxPerClient !== Number.POSITIVE_INFINITY;
    if (isCounted && !this.#takeForClient(client, maxPerClient)) return "client";
    // Without a limit nobody reads how many there are: to write it would take its line of memory from other cores.
    if (maxConcurrency === Number.POSITIVE_INFINITY || row.takePlace(maxConcurrency)) return null;
    if (isCounted) this.#giveForClient(client);
    return "cluster";
  }

  give(client: string): void {
    const { limits, row } = this.#options;
    if (limits.maxConcurrency !== Number.POSITIVE_INFINITY) row.givePlace();
    if (this.#clients.size > 0) this.#giveForClient(client);
  }

  #takeForClient(client: string, most: number): boolean {
    const known = this.#clients.get(client);
    if (known !== undefined) {
      const { column, count } = known;
      const { row } = this.#options;
      const has = column === null ? count < most : row.takeForClient(column, most);
      if (has) known.count += 1;
      return has;
    }
    const column = this.#newColumn(client, most);
    if (column === "full") return false;
    this.#clients.set(client, { column, count: 1 });
    return true;
  }

  /** Counts the first request of a client; null when there is room for no more clients. */
  #newColumn(client: string, most: number): number | null | "full" {
    const { table, row, hash: hashOf } = this.#options;
    const hash = hashOf(client);
    for (;;) {
      const column = table.clientColumn(hash, row.number);
      if (column === null) return null;
      if (!row.takeForClient(column, most)) return "full";
      // Counted, it is not given up any more; before, it may just have been.
      if (table.isClient(column, hash)) return column;
      row.giveForClient(column);
    }
  }

  #giveForClient(client: string): void {
    const known = this.#clients.get(client);
    if (known === undefined) return;
    if (known.column !== null) this.#options.row.giveForClient(known.column);
    known.count -= 1;
    if (known.count === 0) this.#clients.delete(client);
  }

  /** The wall clock in 32 bits: what processes share to the ms. Never 0, which says that nobody waits. */
  now(): number {
    return (this.#options.wallMs() << 1) | 1;
  }

  isAhead(model: string | null, since: number): boolean {
    if (!this.#options.isLimited) return false;
    const queue = this.#options.queueOf(model);
    if (queue === null || queue >= MOST_QUEUES) return false;
    return this.#options.row.isAhead(queue, since, this.#isSilent);
  }

  /** Whether who waits in the process of that row has nobody who takes a place for it. */
  readonly #isSilent = (row: number): boolean => {
    const { bells, wallMs } = this.#options;
    return bells?.isSilent(row, wallMs()) === true;
  };

  waits({ since, isForAny }: Awaited, waiting: number): void {
    const { row, queueOf, bells, wallMs } = this.#options;
    // Before others can see that somebody waits.
    bells?.looked(row.number, wallMs());
    const now = new Map<number, number>();
    for (const [model, first] of since) {
      const queue = queueOf(model);
      if (queue !== null && queue < MOST_QUEUES) now.set(queue, first);
    }
    for (const queue of this.#waiting.keys()) if (!now.has(queue)) row.waits(queue, 0);
    for (const [queue, first] of now) row.waits(queue, first);
    this.#waiting = now;
    row.waiting(waiting);
    bells?.wish(row.number, isForAny ? ALWAYS : now.size > 0 ? ITS_TURN : NEVER);
  }

  pass(): void {
    if (this.#isPassing || !this.#mayWait || !this.#isWantedElsewhere()) return;
    this.#isPassing = true;
    // What a request gives back at its end, its node and its place, and others in the same turn, are told of once.
    queueMicrotask(() => {
      this.#isPassing = false;
      this.#ring();
    });
  }

  #isWantedElsewhere(): boolean {
    const { bells, row, table } = this.#options;
    if (bells === null) return false;
    for (let other = 0; other < table.rowsInUse; other += 1) {
      if (other !== row.number && bells.wishOf(other) !== NEVER) return true;
    }
    return false;
  }

  #ring(): void {
    const { bells, limits, queues, row, table } = this.#options;
    const isFull = table.places >= limits.maxConcurrency;
    // What waits for further models stands in no order.
    const inOrder = Math.min(queues(), MOST_QUEUES);
    for (let other = 0; other < table.rowsInUse; other += 1) {
      if (other === row.number || bells === null) continue;
      const wish = bells.wishOf(other);
      // Who is first, and is this process, has tried already.
      const isItsTurn =
        wish === ITS_TURN && !isFull && table.ofRow(other).isFirst(inOrder, this.#isSilent);
      if (wish === ALWAYS || isItsTurn) bells.ring(other);
    }
  }

  listen(look: () => void): void {
    this.#look = look;
  }

  /** Another process has passed something on. */
  rung(): void {
    this.#look();
  }

  get waiting(): number {
    return this.#options.row.waitingElsewhere;
  }
}
