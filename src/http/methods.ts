/** Which methods a path answers, for 405 and OPTIONS. */
import { ProxyError } from "../core/errors.ts";

export interface Route {
  readonly path: string;
  readonly method: string;
}

/** Catches what no other route answers: its paths are not known ones. */
const CATCH_ALL = "/v1/*";

/** Elysia answers HEAD by GET; this GET is LMDeploy's, and ends every engine. */
export const UNSAFE_GET = "/nodes/terminate_all";

/** A table of `routes` to look paths up in: the value of `Allow`, or null for an unknown path. */
export function allowTable(
  routes: readonly Route[],
): (path: string) => readonly [string, ...string[]] | null {
  const exact = new Map<string, Set<string>>();
  const patterns: { readonly pattern: RegExp; readonly method: string }[] = [];
  for (const { path, method } of routes) {
    if (path === CATCH_ALL) continue;
    if (/[*:]/.test(path)) patterns.push({ pattern: patternOf(path), method });
    else exact.set(path, (exact.get(path) ?? new Set()).add(method));
  }
  return (path) => {
    const bare = path.replace(/(?<=.)\/$/, "");
    const matching = patterns.filter(({ pattern }) => pattern.test(bare));
    const [first, ...others] = new Set([
      ...(exact.get(bare) ?? []),
      ...matching.map(({ method }) => method),
    ]);
    if (first === undefined) return null;
    const hasHead = (first === "GET" || others.includes("GET")) && bare !== UNSAFE_GET;
    return [first, ...others, ...(hasHead ? ["HEAD"] : []), "OPTIONS"];
  };
}

function patternOf(path: string): RegExp {
  const source = path
    .split("/")
    .map((part) => (part === "*" ? ".+" : part.startsWith(":") ? "[^/]+" : RegExp.escape(part)))
    .join("/");
  return new RegExp(`^${source}$`);
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
  const shown = path.length > 200 ? `${path.slice(0, 199)}…` : path;
  return new ProxyError("not_found", `There is nothing at ${method} ${shown}; see /docs.`);
}
