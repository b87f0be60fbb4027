/** One flag of a command: how it is typed, which variables stand in for it, what it means. */
import type { TSchema } from "@sinclair/typebox";
import { type Kind, toggle } from "./kinds.ts";

export interface Flag {
  /** Name of the value that the flag sets. */
  readonly key: string;
  /** Long names without dashes. The first is ours; the others are LMDeploy's spellings. */
  readonly names: readonly [string, ...string[]];
  /** What stands for the value in `--help`; null for a switch. */
  readonly argument: string | null;
  readonly kind: Kind;
  /** Range and default of the value. */
  readonly value: TSchema;
  /** Several values: after one flag, repeated, or separated by commas in a variable. */
  readonly isList: boolean;
  /** What a switch sets when it is given: false for `--no-…` and `--disable-…`. */
  readonly sets: boolean;
  /** Further variables that are honoured, after `LMPROXY_…`, in this order. */
  readonly variables: readonly string[];
  /** Never shown, neither in errors nor by `--print-config`; `@path` reads it from a file. */
  readonly isSecret: boolean;
  /** The one serving strategy that the flag makes sense with; null for both. */
  readonly mode: "Hybrid" | "DistServe" | null;
  /** Heading in `--help`. */
  readonly group: string;
  readonly help: string;
}

/** Where a value came from. */
export type Source =
  | { readonly kind: "flag"; readonly name: string }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "default" };

export const DEFAULT_SOURCE: Source = { kind: "default" };

/** The flag as it is typed: `--port`. */
export function flagName(flag: Flag): string {
  return `--${flag.names[0]}`;
}

/** Our own variable: the prefix and the flag's first name. `LMPROXY_` and `no-retry` make LMPROXY_NO_RETRY. */
export function variableName(flag: Flag, prefix: string): string {
  return prefix + flag.names[0].toUpperCase().replaceAll("-", "_");
}

/** The default as the user would type it; null when there is none. */
export function shownDefault(flag: Flag): string | null {
  const value: unknown = flag.value.default;
  if (value === null || value === undefined || Array.isArray(value)) return null;
  if (flag.argument === null) return null;
  return flag.kind.show(value);
}

type Required = "key" | "names" | "value" | "help";

/** What a table of flags states; the rest has the defaults of a plain switch. */
export type FlagSpec = Pick<Flag, Required> & Partial<Omit<Flag, Required>>;

/** The flags of one heading in `--help`. */
export function flagGroup(group: string, specs: readonly FlagSpec[]): Flag[] {
  return specs.map((spec) => ({
    argument: null,
    kind: toggle,
    isList: false,
    sets: true,
    variables: [],
    isSecret: false,
    mode: null,
    group,
    ...spec,
  }));
}
