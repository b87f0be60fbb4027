/** Which rows a path has: for 405, OPTIONS and what pages of other origins may do. */
import { ProxyError } from "../../core/errors.ts";
import type { Route } from "./route.ts";

/** Catches what no other route answers: its paths are not known ones. */
const CATCH_ALL = "/v1/*";

export class RouteTable {
  readonly #exact = new Map<string, Route[]>();
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
  return "answer" in route && route.refusesHead === true;
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

/** What a request gets that no route answers: 405 for a known path, else 404. */
export function notFound(
  method: string,
  path: string,
  allow: readonly string[] | null,
): ProxyError {
  if (allow !== null) return methodNotAllowed(path, method, allow);
  return new ProxyError("not_found", `There is nothing at ${method} ${shown(path)}; see /docs.`);
}

/** A path in a sentence, cut if it is long. */
export function shown(path: string): string {
  return path.length > 200 ? `${path.slice(0, 199)}…` : path;
}
