import { swagger } from "@elysiajs/swagger";
import { Elysia } from "elysia";
import { version } from "../../../package.json";
import type { Who } from "../access.ts";
import type { Route } from "../routes/route.ts";
import { COMPONENTS } from "./components.ts";
import { DESCRIPTION, TAGS } from "./introduction.ts";

/** Where the plugin answers inside the application made here; beside our own paths, which it would hide. */
const PLUGIN_PATH = "/swagger";

const SECURITY: Readonly<Record<Who, Record<string, string[]>[]>> = {
  anybody: [],
  client: [{ apiKey: [] }],
  administrator: [{ adminKey: [] }],
  engine: [{ adminKey: [] }],
};

/**
 * The OpenAPI document of `routes`: their paths, methods and checked bodies as they are, with what
 * there is to say about each. The swagger plugin makes it, inside an application that has the routes
 * and serves nothing, so that the one that serves carries none of this.
 */
export async function documentOf(routes: readonly Route[]): Promise<object> {
  // Nothing here runs often enough to be worth compiling.
  const app = new Elysia({ aot: false });
  for (const route of routes) {
    const { method, path, who, detail } = route;
    const { body, query } = "answer" in route ? route : {};
    // The only `*` that is shown stands for a model.
    app.route(method, path.replace(/\*$/, ":model"), () => {}, {
      parse: "application/json",
      // A body that `detail` describes itself is one that may be left out: the plugin cannot say so.
      ...(body === undefined || detail.requestBody !== undefined ? {} : { body }),
      ...(query === undefined ? {} : { query }),
      detail: { security: SECURITY[who], ...detail },
    });
  }
  app.use(
    swagger({
      // Its own page would be loaded from the internet; nobody can reach it here.
      path: PLUGIN_PATH,
      specPath: `${PLUGIN_PATH}/json`,
      excludeStaticFile: false,
      documentation: {
        openapi: "3.1.0",
        info: {
          title: "lmproxy",
          version,
          description: DESCRIPTION,
          license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        servers: [{ url: "/", description: "This proxy" }],
        tags: [...TAGS],
        components: COMPONENTS,
      },
    }),
  );
  const answer = await app.handle(new Request(`http://localhost${PLUGIN_PATH}/json`));
  const document: unknown = await answer.json();
  if (typeof document !== "object" || document === null) throw new TypeError("no document");
  return document;
}
