/** What the page knows: made of the frames of `/debug/live`, and of nothing else. */
import {
  type About,
  type Cell,
  FAILURE_FIELDS,
  type Frame,
  MODEL_FIELDS,
  NODE_FIELDS,
  NODE_SERIES,
  NOTHING,
  REQUEST_FIELDS,
  STEPS,
  type TableChange,
  type TableName,
  TOTAL_SERIES,
  type Totals,
} from "../observe/live-frame.ts";
import { readLevels } from "../observe/live-levels.ts";
import { plain, withoutScheme } from "./words.ts";

/** A row whose cells are asked for by name. */
export interface Row<Field extends string> {
  readonly key: number;
  text(field: Field): string;
  /** Null where there is none. */
  number(field: Field): number | null;
}

export type NodeRow = Row<(typeof NODE_FIELDS)[number]>;
export type RequestRow = Row<(typeof REQUEST_FIELDS)[number]>;
export type FailureRow = Row<(typeof FAILURE_FIELDS)[number]>;
export type ModelRow = Row<(typeof MODEL_FIELDS)[number]>;

export class Table<Field extends string> {
  readonly #places: ReadonlyMap<string, number>;
  readonly #rows = new Map<number, Cell[]>();

  constructor(fields: readonly Field[]) {
    this.#places = new Map(fields.map((field, place) => [field, place]));
  }

  apply({ gone = [], rows = [], cells = [] }: TableChange): void {
    for (const key of gone) this.#rows.delete(key);
    for (const [key, ...row] of rows) this.#rows.set(key, row);
    for (const [key, ...pairs] of cells) {
      const row = this.#rows.get(key);
      for (let at = 0; row !== undefined && at < pairs.length; at += 2) {
        row[Number(pairs[at])] = pairs[at + 1] ?? null;
      }
    }
  }

  clear(): void {
    this.#rows.clear();
  }

  rows(): Row<Field>[] {
    return [...this.#rows].map(([key, cells]) => {
      const cell = (field: Field) => cells[this.#places.get(field) ?? -1] ?? null;
      return {
        key,
        text: (field) => String(cell(field) ?? ""),
        number: (field) => {
          const value = cell(field);
          return typeof value === "number" ? value : null;
        },
      };
    });
  }

  has(key: number): boolean {
    return this.#rows.has(key);
  }
}

/** Fifteen minutes of some series, in arrays that never grow. */
export class Past {
  readonly series: readonly Float32Array[];

  constructor(count: number, values: readonly (readonly number[])[] = []) {
    this.series = Array.from({ length: count }, (_, at) => {
      const series = new Float32Array(STEPS).fill(NOTHING);
      series.set((values[at] ?? []).slice(-STEPS));
      return series;
    });
  }

  push(values: readonly number[]): void {
    for (const [at, series] of this.series.entries()) {
      series.copyWithin(0, 1);
      series[STEPS - 1] = values[at] ?? NOTHING;
    }
  }
}

/** Of a node that has nothing to do. */
const QUIET = NODE_SERIES.map((name) => (name === "firstByteMs" ? NOTHING : 0));
const NO_TOTALS: Totals = { open: 0, waiting: 0, leaving: 0 };

export class Cluster {
  /** Null before the first frame. */
  about: About | null = null;
  totals: Totals = NO_TOTALS;
  readonly #nodes = new Table(NODE_FIELDS);
  readonly #requests = new Table(REQUEST_FIELDS);
  readonly #failures = new Table(FAILURE_FIELDS);
  readonly #models = new Table(MODEL_FIELDS);
  past = new Past(TOTAL_SERIES.length);
  readonly #pasts = new Map<number, Past>();
  /** How often the history has gone on. */
  steps = 0;
  /** The proxy's clock at the last frame, ms. */
  tMs = 0;

  apply(frame: Frame): void {
    this.tMs = frame.t;
    if (frame.about !== undefined) this.#begin(frame.about);
    this.totals = { ...this.totals, ...frame.totals };
    const tables: Readonly<Record<TableName, { apply(change: TableChange): void }>> = {
      nodes: this.#nodes,
      requests: this.#requests,
      failures: this.#failures,
      models: this.#models,
    };
    for (const name of ["nodes", "requests", "failures", "models"] as const) {
      const change = frame[name];
      if (change !== undefined) tables[name].apply(change);
    }
    if (frame.past !== undefined) {
      this.past = new Past(TOTAL_SERIES.length, frame.past.totals);
      for (const [key, ...series] of frame.past.nodes) {
        this.#pasts.set(key, new Past(NODE_SERIES.length, series.map(readLevels)));
      }
    }
    if (frame.step !== undefined) this.#step(frame.step);
  }

  /** Another proxy, or the same one again: nothing of what was known holds. */
  #begin(about: About): void {
    this.about = about;
    this.totals = NO_TOTALS;
    for (const table of [this.#nodes, this.#requests, this.#failures, this.#models]) table.clear();
    this.#pasts.clear();
  }

  #step({ totals, nodes = "" }: NonNullable<Frame["step"]>): void {
    this.steps += 1;
    this.past.push(totals);
    for (const key of this.#pasts.keys()) if (!this.#nodes.has(key)) this.#pasts.delete(key);
    const keys = this.#nodes.rows().map(({ key }) => key);
    keys.sort((a, b) => a - b);
    const values = readLevels(nodes);
    const width = NODE_SERIES.length;
    for (const [at, key] of keys.entries()) {
      const own = values.slice(at * width, (at + 1) * width);
      this.pastOf(key).push(own.length > 0 ? own : QUIET);
    }
  }

  pastOf(key: number): Past {
    let past = this.#pasts.get(key);
    if (past === undefined) {
      past = new Past(NODE_SERIES.length);
      this.#pasts.set(key, past);
    }
    return past;
  }

  get nodes(): NodeRow[] {
    return this.#nodes.rows();
  }

  /** Oldest first. */
  get requests(): RequestRow[] {
    const began = (row: RequestRow) => row.number("beganMs") ?? 0;
    return this.#requests.rows().sort((a, b) => began(a) - began(b));
  }

  /** The last first. */
  get failures(): FailureRow[] {
    const ended = (row: FailureRow) => row.number("endedMs") ?? 0;
    return this.#failures.rows().sort((a, b) => ended(b) - ended(a));
  }

  get models(): ModelRow[] {
    return this.#models.rows().sort((a, b) => compareNames(a.text("name"), b.text("name")));
  }
}

/** As people call it. */
export function nameOf(node: NodeRow): string {
  return plain(node.text("name") || withoutScheme(node.text("url")));
}

const collator = new Intl.Collator("en", { numeric: true });

/** `node-2` before `node-10`. */
export function compareNames(a: string, b: string): number {
  return collator.compare(a, b);
}

export function isFrame(value: unknown): value is Frame {
  return typeof value === "object" && value !== null && "t" in value && typeof value.t === "number";
}
