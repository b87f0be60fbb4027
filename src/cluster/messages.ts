/** What the control plane and the workers of one proxy say to each other. Plain values, structured clones. */
import type { ModelCard } from "../core/engine/model-list.ts";
import type { NamedNode } from "../core/pool/naming.ts";
import type { Doubt } from "../core/pool/trials.ts";
import type { Finding } from "../core/pool/words.ts";
import type { LineFormat } from "../observe/line-format.ts";
import type { LogLevel } from "../observe/log.ts";
import type { TableSize } from "./table.ts";

/** Rises when a worker of another build would not understand any more. */
export const PROTOCOL = 2;

/** What a worker has to know of a node. */
export interface NodeNews extends NamedNode {
  readonly slot: number;
  /** Whether the engine there now has registered the models. */
  readonly isVouchedFor: boolean;
}

/** Something that the control plane knows and a worker does not, yet. */
export type News =
  /** Nodes that are new or other than before, those that are no more, and models whose queues got the next numbers. */
  | {
      readonly is: "nodes";
      readonly nodes: readonly NodeNews[];
      readonly gone: readonly string[];
      readonly queues: readonly (readonly [model: string, number: number])[];
    }
  /** What a node serves by its own word; `cards` null when it has not shown its list to this proxy. */
  | {
      readonly is: "models";
      readonly url: string;
      readonly cards: ReadonlyMap<string, ModelCard> | null;
      readonly models: readonly string[];
    }
  /** Its engine registered anew. */
  | { readonly is: "renewed"; readonly url: string }
  | {
      readonly is: "found";
      readonly url: string;
      readonly finding: Finding;
      readonly ageMs: number;
    };

/** A private key and its certificate chain, both as PEM. */
export interface CertifiedKey {
  readonly key: string;
  readonly cert: string;
}

/** What a worker is given to begin with. */
export interface Beginning {
  /** The file that holds the table, how large that is, and which row is the worker's. */
  readonly table: string;
  readonly size: TableSize;
  readonly row: number;
  /** Whether the sessions follow the table in its file; left out by versions before. */
  readonly hasSessions?: boolean;
  /** Whether the rings of news follow the sessions; left out by versions before. */
  readonly hasNews?: boolean;
  /** Whether the bells follow the rings; left out by versions before. */
  readonly hasBells?: boolean;
  /** As the flags said it, validated again by whoever reads it. */
  readonly config: unknown;
  /** What HTTPS is served with, null for HTTP; an older control plane leaves it out. */
  readonly certificate?: CertifiedKey | null;
  /** The name of this proxy in `Via`. */
  readonly via: string;
  readonly news: readonly News[];
}

/** An administrator's request, as it came to a worker. */
export interface AdminRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array | null;
  /** The other end of its socket; null when that has gone. */
  readonly socketAddress: string | null;
}

export interface AdminAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
}

/** What a worker is asked. */
export type ToWorker =
  /** Answered by its version when it is ready to listen. */
  | ({ readonly do: "begin"; readonly protocol: number } & Beginning)
  | { readonly do: "listen"; readonly port: number }
  /** Nobody leaves the port any more: connections go to all its listeners alike. */
  | { readonly do: "spread" }
  | { readonly do: "news"; readonly news: News }
  | { readonly do: "log"; readonly level: LogLevel; readonly format: LineFormat }
  /** A configuration whose keys are in force from now on. */
  | { readonly do: "keys"; readonly config: unknown }
  /**
   * New connections get this certificate. Answered when the old listener, the one at `at` of as many with
   * the new one, has left the port: whether this system can do so. Null for one that does not listen yet.
   */
  | {
      readonly do: "certificate";
      readonly key: CertifiedKey;
      readonly place: { readonly of: number; readonly at: number } | null;
    }
  | { readonly do: "metrics"; readonly openMetrics: boolean }
  | { readonly do: "figures" }
  | { readonly do: "failures"; readonly url: string }
  | { readonly do: "requests" }
  /** What it knows of what the live page shows. */
  | { readonly do: "live" }
  /** A line for somebody who looks at the page; null at the end. */
  | { readonly do: "show"; readonly watcher: number; readonly line: string | null }
  | { readonly do: "explain"; readonly id: string }
  | { readonly do: "cancel"; readonly id: string }
  /**
   * Another worker has taken over: leave the port, of whose listeners this is the one at `at`, finish
   * what there is, and end. Answered when the port is left: whether no connection was reset by that.
   */
  | {
      readonly do: "retire";
      readonly of: number;
      readonly at: number;
      /** New connections go to the listeners at these places alone; left out: to all others. */
      readonly to?: readonly number[];
    }
  /** Another control plane has the nodes from now on. */
  | { readonly do: "moved" }
  /** The whole proxy ends; an older control plane leaves out that it says so itself, for all. */
  | { readonly do: "drain"; readonly isSaid?: boolean };

/** What the control plane is asked. */
export type ToControl =
  /** It ends in good order: its page of metrics, in Prometheus' dialect, and how many requests it has cut. */
  | { readonly do: "counted"; readonly page: string; readonly cut?: number }
  | { readonly do: "find"; readonly model: string }
  /** Somebody wants to look at the live page: whether there is room; or does so no more. */
  | { readonly do: "watch" | "unwatch"; readonly watcher: number }
  | { readonly do: "stillServes"; readonly url: string; readonly model: string }
  | { readonly do: "isWell"; readonly url: string }
  | { readonly do: "probe"; readonly url: string }
  | { readonly do: "doubted"; readonly url: string; readonly why: Doubt; readonly reason: string }
  | { readonly do: "cleared"; readonly url: string }
  /** How many of its requests have ended at nodes, by URL, since it said so last. */
  | { readonly do: "ended"; readonly counts: ReadonlyMap<string, number> }
  | ({ readonly do: "administer" } & AdminRequest);
