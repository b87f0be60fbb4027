/**
 * How the text of a flag or variable is read: one `Kind` for each sort of value.
 *
 * A kind reads the syntax; which values are in range is the schema's affair. Durations are typed in
 * seconds and kept in milliseconds.
 */
import { parseAllowRule } from "../core/address/address-policy.ts";
import { parseCidr } from "../core/address/cidr.ts";
import { splitNamed } from "../core/address/node-name.ts";

export interface Kind {
  /** What would be right, to follow "must be". Names the range too. */
  readonly expects: string;
  /** The value, or `undefined` when the text is not understood. */
  readonly parse: (text: string) => unknown;
  /** The value as the user would type it; the inverse of `parse`. */
  readonly show: (value: unknown) => string;
}

/** Longest delay of a timer, ms: `setTimeout` fires at once beyond 2^31 - 1. */
export const MAX_DELAY_MS = 2_147_483_000;

/** More processes than this have nothing to do for each other. */
export const MOST_WORKERS = 64;

const NUMBER = /^(?:\d+(?:\.\d*)?|\.\d+)$/;
const WHOLE = /^\d{1,15}$/;

function showText(value: unknown): string {
  return String(value);
}

/** Any text; the schema decides what may stand in it. */
export function text(expects: string): Kind {
  return { expects, parse: (given) => given, show: showText };
}

/** A key as it can stand in a header; the schema holds the pattern. */
export const key = text("made of letters, digits and punctuation only, without spaces");

/** One that may have a name before it, but is not a name alone: that would be a key which others may guess. */
export const namedKey: Kind = {
  ...key,
  expects: `${key.expects}, with a key behind each NAME:`,
  parse: (given) => (/^(?!sk-)[a-z0-9][\w.-]{0,31}:$/i.test(given) ? undefined : given),
};

/** A host name or address to listen on; an IPv6 address may stand in brackets. */
export const bindAddress: Kind = {
  expects: "a host name or an IP address",
  parse: (given) => given.replace(/^\[(.*)\]$/, "$1"),
  show: showText,
};

/** One of a closed set of names, in any case; `aliases` maps further names (lower case) to them. */
export function choice(
  names: readonly string[],
  aliases: Readonly<Record<string, string>> = {},
): Kind {
  const byLowerCase = new Map(Object.entries(aliases));
  for (const name of names) byLowerCase.set(name.toLowerCase(), name);
  return {
    expects: `one of ${names.join(", ")}`,
    parse: (given) => byLowerCase.get(given.toLowerCase()),
    show: showText,
  };
}

/** A switch as a variable spells it. */
export const toggle: Kind = {
  expects: "true or false",
  parse: (given) => {
    const word = given.toLowerCase();
    if (["true", "1", "yes", "on"].includes(word)) return true;
    if (["false", "0", "no", "off"].includes(word)) return false;
    return undefined;
  },
  show: showText,
};

function wholeOf(given: string): number | undefined {
  return WHOLE.test(given) ? Number(given) : undefined;
}

export function wholeNumber(expects: string): Kind {
  return { expects, parse: wholeOf, show: showText };
}

/** A port to listen on; 0 picks a free one. */
export const port = wholeNumber("a whole number from 0 to 65535");

/** A whole number where 0 means that there is no limit, kept as null. */
export const countOrNoLimit: Kind = {
  expects: "a whole number, 0 for no limit",
  parse: (given) => (WHOLE.test(given) ? Number(given) || null : undefined),
  show: (value) => (value === null ? "0" : String(value)),
};

/** How many processes: a number, or as many as there are cores. */
export const workerCount: Kind = {
  expects: `a whole number from 1 to ${MOST_WORKERS}, or auto`,
  parse: (given) => (given.toLowerCase() === "auto" ? "auto" : wholeOf(given)),
  show: showText,
};

export function decimal(expects: string): Kind {
  return {
    expects,
    parse: (given) => (NUMBER.test(given) ? Number(given) : undefined),
    show: showText,
  };
}

/** Milliseconds from seconds, exact to a microsecond: 1.1 s is 1100, not 1100.0000000000002. */
function secondsToMs(given: string): number | undefined {
  return NUMBER.test(given) ? Math.round(Number(given) * 1e6) / 1e3 : undefined;
}

function showSeconds(value: unknown): string {
  return typeof value === "number" ? String(Math.round(value * 1e3) / 1e6) : "0";
}

/** Seconds between two runs of something, or that something may take. */
export const delaySeconds: Kind = {
  expects: "a number of seconds from 0.001 to 2147483",
  parse: secondsToMs,
  show: showSeconds,
};

/** Seconds to wait, where 0 means not at all. */
export const waitSeconds: Kind = {
  expects: "a number of seconds from 0 to 2147483",
  parse: secondsToMs,
  show: showSeconds,
};

/** Seconds where 0 means that there is no limit, kept as null. */
export const secondsOrNoLimit: Kind = {
  expects: "a number of seconds up to 2147483, 0 for no limit",
  parse: (given) => {
    const ms = secondsToMs(given);
    return ms === 0 && Number(given) === 0 ? null : ms;
  },
  show: showSeconds,
};

const KIB = 1024;
const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: KIB,
  kib: KIB,
  kb: 1e3,
  m: KIB ** 2,
  mib: KIB ** 2,
  mb: 1e6,
  g: KIB ** 3,
  gib: KIB ** 3,
  gb: 1e9,
};

/** Bytes, plain or with a unit: K, KiB (1024), KB (1000) and so on to G, in any case. */
export const byteSize: Kind = {
  expects: "a size of at least 1 byte such as 1048576, 512KiB or 64MiB",
  parse: (given) => {
    const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(given);
    const unit = UNITS[match?.[2]?.toLowerCase() ?? "?"];
    if (match?.[1] === undefined || unit === undefined) return undefined;
    return Math.floor(Number(match[1]) * unit);
  },
  show: (value) => {
    if (typeof value !== "number") return "";
    for (const [name, unit] of [
      ["GiB", KIB ** 3],
      ["MiB", KIB ** 2],
      ["KiB", KIB],
    ] as const) {
      if (value >= unit && value % unit === 0) return `${value / unit}${name}`;
    }
    return String(value);
  },
};

/** An http(s) URL of a node, kept as it was typed: normalising it is `core/address/node-url.ts`'s affair. */
export const nodeUrl: Kind = {
  expects: "an http:// or https:// URL without user name and password",
  parse: (given) => {
    if (!/^https?:\/\/[^\s/?#]/i.test(given) || /\s/.test(given)) return undefined;
    const url = URL.parse(given);
    return url !== null && url.username === "" && url.password === "" ? given : undefined;
  },
  show: showText,
};

/** A further name of a model, and after it the one that engines know. */
export const modelAlias: Kind = {
  expects: "ALIAS=NAME, where engines serve NAME",
  parse: (given) => (/^[^=]+=./.test(given) ? given : undefined),
  show: showText,
};

/** What they hold shall stand neither in logs nor in answers. */
const HOLD_KEYS: readonly string[] = [
  "authorization",
  "proxy-authorization",
  "x-api-key",
  "cookie",
];

/** A header that may hold a request's id; the schema holds the pattern. */
export const idHeader: Kind = {
  expects: "a header's name, of none that holds keys",
  parse: (given) => (HOLD_KEYS.includes(given.toLowerCase()) ? undefined : given),
  show: showText,
};

/** As browser extensions and applications with a browser inside say where they are from. */
const OTHER_ORIGIN = /^(?!https?:)[a-z][a-z\d+.-]*:\/\/[\w.-]*(?::\d+)?$/;

/** Where a web page is from, as browsers say it (RFC 6454 §6.1). */
export const origin: Kind = {
  expects: "an origin such as https://app.example or tauri://localhost, or *",
  parse: (given) => (given === "*" || isOneOrigin(given) ? given : undefined),
  show: showText,
};

function isOneOrigin(given: string): boolean {
  // Of a host's name URLs take a star for a letter; no page is from there.
  if (given.includes("*")) return false;
  return OTHER_ORIGIN.test(given) || URL.parse(given)?.origin === given;
}

/** A node's URL, and before it what people call the node. */
export const namedNodeUrl: Kind = {
  expects: `${nodeUrl.expects}, or NAME=URL`,
  parse: (given) => (nodeUrl.parse(splitNamed(given).url) === undefined ? undefined : given),
  show: showText,
};

/** The text itself if `read` accepts it. */
function acceptedBy(read: (given: string) => unknown): (given: string) => string | undefined {
  return (given) => {
    try {
      read(given);
      return given;
    } catch {
      return undefined;
    }
  };
}

/** A range of addresses; one address stands for itself. */
export const cidr: Kind = {
  expects: "a network such as 10.0.0.0/8 or fd00::/8",
  parse: acceptedBy(parseCidr),
  show: showText,
};

export const cidrOrHostPattern: Kind = {
  expects: "a network such as 10.0.0.0/8 or a host name pattern such as *.gpu.internal",
  parse: acceptedBy(parseAllowRule),
  show: showText,
};
