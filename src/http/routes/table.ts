/** Which rows a path has: for 405, OPTIONS and what pages of other origins may do. */
import { changesEngine } from "../../core/engine/kinds.ts";
import { ProxyError } from "../../core/errors.ts";
import { editDistance } from "../../core/nearest-name.ts";
import type { Route } from "./route.ts";

/** Catches what no other route answers: its paths are not known ones. */
const CATCH_ALL = "/v1/*";

export class RouteTable {
  readonly #exact = new Map<string, Route[]>();
  /** Those that are not patterns. */
  readonly paths: readonly string[];
  readonly #patterns: { readonly pattern: RegExp; readonly route: Route }[] = [];

  /** @throws Error when two rows have the same method and path, of which one would never be asked. */
  constructor(routes: readonly Route[]) {
    const seen = new Set<string>();
    for (const route of routes) {
      const { method, path } = route;
      const name = `${method} ${path}`;
      if (seen.has(name)) throw new Error(`${name} has two rows`);
      seen.add(name);
      if (path === CATCH_ALL) continue;
      if (/[*:]/.test(path)) this.#patterns.push({ pattern: patternOf(path), route });
      else this.#exact.set(path, [...(this.#exact.get(path) ?? []), route]);
    }
    this.paths = [...this.#exact.keys()];
  }

  /** The value of `Allow` for a path, or null for an unknown one. */
  allow(path: string): readonly [string, ...string[]] | null {
    const rows = this.#rows(path);
    const [first, ...others] = new Set<string>(rows.map(({ method }) => method));
    if (first === undefined) return null;
    const hasHead = rows.some((row) => row.method === "GET" && !refusesHead(row));
    return [first, ...others, ...(hasHead ? ["HEAD"] : []), "OPTIONS"];
  }

  /** Whether pages of other origins may ask for a path and read what it answers; null for an unknown one. */
  isOpenToPages(path: string): boolean | null {
    const rows = this.#rows(path);
    if (rows.length === 0) return null;
    return rows.every(({ who }) => who === "anybody" || who === "client");
  }

  /** Whether a path is answered without a `Host`. */
  needsNoHost(path: string): boolean {
    return this.#rows(path).some((row) => row.needsNoHost === true);
  }

  /** Whether such a request changes which nodes there are, or asks all of them for something. */
  changesNodes(method: string, path: string): boolean {
    return this.#rows(path).some(
      (row) =>
        row.method === method &&
        (row.who === "administrator" || row.who === "engine") &&
        (method !== "GET" || refusesHead(row)) &&
        !path.startsWith("/debug/"),
    );
  }

  #rows(path: string): readonly Route[] {
    const bare = path.replace(/(?<=.)\/$/, "");
    const matching = this.#patterns.filter(({ pattern }) => pattern.test(bare));
    return [...(this.#exact.get(bare) ?? []), ...matching.map(({ route }) => route)];
  }
}

function patternOf(path: string): RegExp {
  const source = path
    .split("/")
    .map((part) => (part === "*" ? ".+" : part.startsWith(":") ? "[^/]+" : RegExp.escape(part)))
    .join("/");
  return new RegExp(`^${source}$`);
}

function refusesHead(route: Route): boolean {
  return "answer" in route ? route.refusesHead === true : true;
}

/** 405 that says what the path does answer. */
export function methodNotAllowed(
  path: string,
  method: string,
  allow: readonly string[],
): ProxyError {
  const others = allow.filter((one) => one !== "HEAD" && one !== "OPTIONS");
  const message = `${path} does not answer ${method}; use ${others.join(" or ")}.`;
  return new ProxyError("method_not_allowed", message, { allow });
}

/** What other routers answer under a path of their own, and where it is here. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["/v1/loads", "loads are in /nodes/status"],
  ["/v1/rl/workers", "see /workers"],
]);

/** What a request gets that no route answers: 405 for a known path, else 404. */
export function notFound(method: string, path: string, table: RouteTable): ProxyError {
  const allow = table.allow(path);
  if (allow !== null) return methodNotAllowed(path, method, allow);
  const nearest = nearestPath(path, table.paths);
  const instead = changesEngine(`/v1${path}`)
    ? "POST /nodes/call calls it at engines"
    : (ELSEWHERE.get(path) ?? "see /docs");
  const advice = nearest === null ? instead : `did you mean ${nearest}? See /docs`;
  return new ProxyError("not_found", `There is nothing at ${method} ${shown(path)}; ${advice}.`);
}

/** Longer paths are nobody's slip of the pen, and comparing costs. */
const LONGEST_SLIP = 64;

/**
 * The known path that `path` may have been meant for: with other letter case or slashes, with
 * something before it or `/v1` left out, or one letter away (two in a long one).
 */
export function nearestPath(path: string, known: readonly string[]): string | null {
  if (path.length > LONGEST_SLIP) return null;
  const typed = path
    .toLowerCase()
    .replaceAll(/\/{2,}/g, "/")
    .replace(/(?<=.)\/$/, "");
  const meant = known.find(
    (one) =>
      one === typed || one === `/v1${typed}` || (one.startsWith("/v1/") && typed.endsWith(one)),
  );
  const isNear = (one: string) => {
    const edits = one.length < 12 ? 1 : 2;
    return Math.abs(one.length - typed.length) <= edits && editDistance(typed, one) <= edits;
  };
  return meant ?? known.find(isNear) ?? null;
}

/** A path in a sentence, cut if it is long. */
export function shown(path: string): string {
  return path.length > 200 ? `${path.slice(0, 199)}…` : path;
}
