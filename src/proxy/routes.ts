import type { Config } from "../config/serve-config.ts";
import { forwardedRoutes } from "../http/routes/forwarded.ts";
import { ROUTES } from "../http/routes/index.ts";
import type { Route } from "../http/routes/route.ts";

/** The table, with the paths of `--forward`. @throws ProxyError invalid_request for one that may not be. */
export function routesOf({ forwardPaths }: Pick<Config, "forwardPaths">): readonly Route[] {
  const known = ROUTES.map(({ path }) => path);
  return [...ROUTES, ...forwardedRoutes(forwardPaths, known)];
}
