/** What the page at /docs is made of. All of it is inside the executable: nothing is fetched from elsewhere. */

import swaggerUiStyle from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import swaggerUiScript from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import type { Asset } from "../static-answer.ts";
import favicon from "./page/favicon.svg" with { type: "file" };
import page from "./page/index.html" with { type: "file" };
import start from "./page/start.js" with { type: "file" };
import style from "./page/style.css" with { type: "file" };

export const PAGE: Asset = { path: page, contentType: "text/html; charset=utf-8" };

/** By their names under /docs/. */
export const ASSETS: ReadonlyMap<string, Asset> = new Map([
  [
    "swagger-ui-bundle.js",
    { path: swaggerUiScript, contentType: "text/javascript; charset=utf-8" },
  ],
  ["swagger-ui.css", { path: swaggerUiStyle, contentType: "text/css; charset=utf-8" }],
  ["start.js", { path: start, contentType: "text/javascript; charset=utf-8" }],
  ["style.css", { path: style, contentType: "text/css; charset=utf-8" }],
  ["favicon.svg", { path: favicon, contentType: "image/svg+xml" }],
]);
