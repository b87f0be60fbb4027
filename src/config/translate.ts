/**
 * A command line as another router takes it, in our words: its flags, LMDeploy's underscores and the
 * unique prefixes of Python's argparse, in which all of them are written. What is ours already passes
 * as it is.
 */
import type { Flag } from "./flag.ts";
import { FOREIGN_FLAGS } from "./foreign-flags.ts";
import type { ForeignFlag, Product, Taken } from "./foreign-row.ts";
import type { Note } from "./note.ts";
import { PRODUCTS } from "./schema.ts";
import { UsageError } from "./usage-error.ts";

export interface Translated {
  readonly argv: readonly string[];
  /** What was taken for what, and what has no effect. Values are not repeated. */
  readonly notes: readonly Note[];
  /** Whether a flag was not ours. */
  readonly isForeign: boolean;
  /** Flags as they were typed, by those of ours that they became. */
  readonly typedAs: ReadonlyMap<string, string>;
}

/** LMDeploy's own: a prefix that is unique there stays so, whatever flags we have more. */
const LMDEPLOYS = [
  "server-name",
  "server-port",
  "serving-strategy",
  "routing-strategy",
  "dummy-prefill",
  "log-level",
  "api-keys",
  "ssl",
  "disable-cache-status",
  "migration-protocol",
  "link-type",
  "disable-gdr",
];

/** One flag as it was typed, with the words up to the next one. */
interface Typed {
  /** Without dashes; null for words that no flag stands before. */
  readonly name: string | null;
  /** What follows `=`. */
  readonly inline: string | null;
  readonly words: readonly string[];
}

/** What our variables hold, for want of the flags. */
export interface Variables {
  readonly as?: string | undefined;
  readonly servingStrategy?: string | undefined;
}

/** What else is asked for decides what a flag of theirs becomes. */
interface Asked {
  readonly product: Product | null;
  readonly isDistServe: boolean;
}

/**
 * @throws UsageError for a flag of theirs that cannot be taken; it says why, and what is instead
 */
export function translate(
  argv: readonly string[],
  flags: readonly Flag[],
  variables: Variables = {},
): Translated {
  const own = [...flags.flatMap(({ names }) => names), "help"];
  const typed = split(argv).map((one) => ({ ...one, as: one.name, name: ownName(one.name, own) }));
  const foreign = typed.flatMap(({ name }) => FOREIGN_FLAGS.get(name ?? "") ?? []);
  const mode = wordAfter(typed, "serving-strategy") ?? variables.servingStrategy;
  const asked: Asked = {
    product: productOf(typed, variables.as) ?? guess(foreign),
    isDistServe: mode?.toLowerCase() === "distserve",
  };
  const words: string[] = [];
  const otherwise: string[] = [];
  const notes: Note[] = [];
  const typedAs = new Map<string, string>();
  for (const one of typed) {
    const flag = FOREIGN_FLAGS.get(one.name ?? "");
    if (one.as?.replaceAll("_", "-") !== one.name && one.as !== null) {
      notes.push({ level: "info", text: `--${one.as} is taken as --${one.name}` });
    }
    const taken = flag === undefined ? ourOwn(one) : theirs(flag, one, asked);
    words.push(...taken.words);
    if (flag !== undefined) {
      for (const ours of flagsAmong(taken.words)) typedAs.set(ours, `--${one.as}`);
    }
    otherwise.push(...(taken.otherwise ?? []));
    if (taken.note !== undefined) {
      notes.push({ level: taken.isLoss === true ? "warning" : "info", text: taken.note });
    }
  }
  const [instead = ""] = otherwise;
  const isGiven = words.some((word) => word === instead || word.startsWith(`${instead}=`));
  return {
    argv: isGiven ? words : [...otherwise, ...words],
    notes: notes.filter(({ text }, at) => notes.findIndex((note) => note.text === text) === at),
    isForeign: foreign.length > 0,
    typedAs,
  };
}

/** Names of our flags in words that are meant for our own parser. */
function flagsAmong(words: readonly string[]): readonly string[] {
  return words.filter((word) => word.startsWith("--"));
}

/** Words that begin with a dash and a letter are flags; -1 is a value. */
function split(argv: readonly string[]): Typed[] {
  const typed: { name: string | null; inline: string | null; words: string[] }[] = [];
  for (const word of argv) {
    const found = /^--([a-z][\w-]*)(?:=([\s\S]*))?$/i.exec(word);
    if (found !== null) {
      typed.push({ name: found[1] ?? null, inline: found[2] ?? null, words: [] });
    } else if (typed.length === 0 || /^--?[a-z]/i.test(word) || word === "--") {
      typed.push({ name: null, inline: null, words: [word] });
    } else {
      typed.at(-1)?.words.push(word);
    }
  }
  return typed;
}

/** The name as we, or another router, have it: also for underscores and a prefix of one name alone. */
function ownName(typed: string | null, own: readonly string[]): string | null {
  if (typed === null) return null;
  const name = typed.replaceAll("_", "-");
  if (own.includes(name) || FOREIGN_FLAGS.has(name)) return name;
  for (const names of [own, LMDEPLOYS, [...own, ...FOREIGN_FLAGS.keys()]]) {
    const [only, ...more] = names.filter((one) => one.startsWith(name));
    if (only !== undefined && more.length === 0) return only;
  }
  return typed;
}

/** What was typed after a flag, the last time it was. */
function wordAfter(typed: readonly Typed[], name: string): string | undefined {
  const flag = typed.findLast((one) => one.name === name);
  return flag?.inline ?? flag?.words[0];
}

/** Whom `--as` names. What it cannot name is told when it is read as a flag. */
function productOf(typed: readonly Typed[], asVariable: string | undefined): Product | null {
  const named = (wordAfter(typed, "as") ?? asVariable)?.toLowerCase();
  return PRODUCTS.find((product) => product === named) ?? null;
}

/** The first router that has all of the flags, unless all routers do. */
function guess(foreign: readonly ForeignFlag[]): Product | null {
  const having = PRODUCTS.slice(1).filter((product) =>
    foreign.every(({ products }) => products.includes(product)),
  );
  return having.length === PRODUCTS.length - 1 ? null : (having[0] ?? null);
}

function ourOwn({ name, inline, words }: Typed): Taken {
  if (name === null) return { words };
  if (name.startsWith("router-")) {
    throw new UsageError(
      `--${name.slice(0, 40)} is refused: lmproxy starts no engines; start them and name them with --node`,
    );
  }
  const flag = inline === null ? `--${name}` : `--${name}=${inline}`;
  if (name === "prefill") return { words: [flag, ...withoutBootstrapPort(words)] };
  if (name === "api-keys" && inline === null && words.length === 0) {
    const note = "--api-keys names no key: clients and administrators need none by it";
    return { words: [], note, isLoss: true };
  }
  return { words: [flag, ...words] };
}

/** SGLang's: `--prefill URL 9001`, or `none` where there is none. */
function withoutBootstrapPort(words: readonly string[]): readonly string[] {
  if (words.some((word) => /^\d+$/.test(word))) {
    throw new UsageError(
      "--prefill takes no bootstrap port: that is SGLang's, and prefill nodes here are LMDeploy's",
    );
  }
  return words.filter((word) => word.toLowerCase() !== "none");
}

function theirs(flag: ForeignFlag, { inline, words }: Typed, asked: Asked): Taken {
  const name = `--${flag.name}`;
  const { becomes } = flag;
  if (!flag.takesValues && inline === "false") return { words: [] };
  if (becomes.kind === "refused") throw new UsageError(`${name} is refused: ${becomes.because}`);
  if (!flag.takesValues && words.length > 0) throw new UsageError(`${name} takes no value`);
  const values = inline === null || !flag.takesValues ? words : [inline, ...words];
  if (!flag.isList && values.length > 1) throw new UsageError(`${name} takes one value`);
  if (becomes.kind === "nothing") {
    return { words: [], note: `${name} has no effect here: ${becomes.because}` };
  }
  if (becomes.onlyIn === "DistServe" && !asked.isDistServe) {
    const because = "engines have roles with --serving-strategy DistServe alone";
    return { words: [], note: `${name} has no effect here: ${because}` };
  }
  const taken = becomes.as(values, asked.product);
  if (taken.refused !== undefined) throw new UsageError(`${name} is refused: ${taken.refused}`);
  const ours = flagsAmong(taken.words);
  if (taken.note !== undefined || ours.length === 0) return taken;
  return { ...taken, note: `${name} is taken as ${ours.join(" and ")}` };
}
