/**
 * What the live page is told by `GET /debug/live`: lines of JSON, a frame each. The first is all there
 * is to know, those after it are what has changed. Shared with the page, which runs in a browser: no
 * more than words and shapes here. All times are of the proxy's monotonic clock, ms, as `t`.
 */

export type Cell = string | number | null;

/** What changed in a table: rows that went, rows that are new, and cells as pairs of a place and a value. */
export interface TableChange {
  readonly gone?: readonly number[];
  readonly rows?: readonly (readonly [key: number, ...cells: Cell[]])[];
  readonly cells?: readonly (readonly [key: number, ...placesAndValues: Cell[]])[];
}

/** The cells of a node, in their order. */
export const NODE_FIELDS = [
  "url",
  /** What people call it, where they do. */
  "name",
  "role",
  "engine",
  /** Some of their names, and how many more there are. */
  "models",
  "state",
  /** Since when it has been in that state. */
  "sinceMs",
  /** Its last error, or what is not known of it. */
  "reason",
  "inFlight",
  /** When its oldest open request was sent, s. */
  "oldestS",
  /** Since when it has sent nothing although it has requests, s; null while that is usual. */
  "silentS",
  /** Fraction of its KV cache in use, and what it says runs and waits. */
  "usage",
  "running",
  "waiting",
  /** How many of those somebody else must have sent it. */
  "foreign",
  /** When its gauges were sampled; 0 while that is fresh. */
  "sampledMs",
  /** Medians of its last answers, ms, and their ratios to the median of its peers. */
  "firstByteMs",
  "firstByteRatio",
  "pieceMs",
  "pieceRatio",
  /** Attempts that failed in five minutes. */
  "errors",
  /** Of all attempts in the last minute, whole percent. */
  "share",
  /** How far it has been brought in, whole percent. */
  "warm",
  /** DistServe: engines it is connected with, and prefills it keeps blocks for. */
  "pairs",
  "sessions",
] as const;

export const REQUEST_FIELDS = [
  "id",
  "path",
  "model",
  "client",
  "beganMs",
  "phase",
  "node",
  "attempts",
  "bytesIn",
  /** To two digits that mean something. */
  "bytesOut",
  /** When its last byte came; 0 while bytes flow, null before the first. */
  "quietMs",
] as const;

export const FAILURE_FIELDS = [
  "id",
  /** When it ended. */
  "endedMs",
  "status",
  "outcome",
  "error",
  "model",
  "client",
  "node",
  "attempts",
  "tookMs",
  /** What its last attempt failed by. */
  "detail",
  /** How many there were that are like it; the others of its cells are those of the latest. */
  "count",
] as const;

export const MODEL_FIELDS = [
  "name",
  /** How many nodes are healthy, and how many there are: a number for each of `needed`, with blanks between. */
  "healthy",
  "nodes",
  "inFlight",
] as const;

export const TABLES = {
  nodes: NODE_FIELDS,
  requests: REQUEST_FIELDS,
  failures: FAILURE_FIELDS,
  models: MODEL_FIELDS,
} as const;

export type TableName = keyof typeof TABLES;

/** What a node's history remembers of each step, and what that of all together does. */
export const NODE_SERIES = ["inFlight", "firstByteMs", "attempts"] as const;
export const TOTAL_SERIES = ["inFlight", "requests", "failed", "firstByteMs"] as const;

/** How long a step of the history is, ms, and how many are remembered: 15 minutes. */
export const STEP_MS = 10_000;
export const STEPS = 90;

/** Where there is nothing to draw: a first byte of no answer. */
export const NOTHING = -1;

export interface About {
  readonly version: string;
  readonly strategy: string;
  readonly mode: string;
  /** Roles of which a request takes a node each. */
  readonly needed: readonly string[];
  /** A sample of this age or younger is fresh, ms. */
  readonly freshMs: number;
  /** Wall clock when `t` was 0, ms since 1970. */
  readonly epochMs: number;
}

export interface Totals {
  /** Requests that have not ended, those that wait for a place among them. */
  readonly open: number;
  readonly waiting: number;
  /** 1 once the proxy is about to end. */
  readonly leaving: number;
}

export interface Frame {
  readonly t: number;
  /** In the first frame alone. */
  readonly about?: About;
  readonly totals?: Partial<Totals>;
  readonly nodes?: TableChange;
  readonly requests?: TableChange;
  readonly failures?: TableChange;
  readonly models?: TableChange;
  /** In the first frame: 15 minutes, oldest first. */
  readonly past?: {
    readonly totals: readonly (readonly number[])[];
    /** Levels, as characters. */
    readonly nodes: readonly (readonly [key: number, ...series: string[]])[];
  };
  /**
   * One more step: the totals' values, and the levels of all nodes, by key, as many characters of each as
   * there are series. Nothing of nodes that all have nothing to do.
   */
  readonly step?: { readonly totals: readonly number[]; readonly nodes?: string };
}
