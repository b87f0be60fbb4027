/** What the checks of `lmproxy doctor` look at: everything that was seen, at two moments. */
import type { Nodes } from "../node-table.ts";

/** A proxy and its nodes at one moment. */
export interface Look {
  /** Monotonic, s. */
  readonly atS: number;
  readonly nodes: Nodes;
  /** Attempts that have ended, by node. */
  readonly endedByNode: ReadonlyMap<string, number>;
  /** Of nodes that are out, what for, as `lmproxy_node_out` has it. */
  readonly outFor: ReadonlyMap<string, string>;
}

/** What a server shows of its certificate. */
export interface Certificate {
  /** When it expires, ms since 1970. */
  readonly notAfterMs: number;
  /** Whether it is for the name or address that was asked. */
  readonly fits: boolean;
}

/** What an administrator is told by the proxy. */
export interface Told {
  /** Each flag with its value as text, as `--print-config` shows it. */
  readonly flags: Readonly<Record<string, string>>;
  readonly stateLocked: boolean | null;
  /** Why its nodes could not be saved last; null when they were. */
  readonly stateProblem: string | null;
  readonly metricsIntervalS: number;
  readonly openFiles: number | null;
  readonly mostFiles: number | null;
  readonly before: Look;
  readonly after: Look;
}

export interface Snapshot {
  /** The proxy's. */
  readonly url: string;
  /** Wall clock of this machine, ms since 1970. */
  readonly nowMs: number;
  /** By URL, of the proxy and of nodes; those that serve HTTPS and answer from here. */
  readonly certificates: ReadonlyMap<string, Certificate>;
  /** How far the clock behind a URL is ahead of this machine's, ms; of those that answer from here. */
  readonly aheadMs: ReadonlyMap<string, number>;
  /** Null when the proxy's certificate keeps us from asking. */
  readonly told: Told | null;
}

/** Something that is wrong. */
export interface Finding {
  /** The name of the check. */
  readonly check: string;
  /** The URL of a node, or of the proxy. */
  readonly about: string;
  /** What people call that node; null where they do not. */
  readonly name: string | null;
  /** What is wrong, in a sentence. */
  readonly what: string;
  /** What to do. */
  readonly advice: string;
}

/** What a check says: what it is about, what is wrong and what to do. */
export type Found = Omit<Finding, "check" | "name">;

export type Check = (seen: Snapshot, told: Told) => readonly Found[];
