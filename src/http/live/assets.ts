/** What the page at / is made of; like that at /docs, all of it is inside the executable. */

import page from "../../page/index.html" with { type: "file" };
import style from "../../page/style.css" with { type: "file" };
import favicon from "../docs/page/favicon.svg" with { type: "file" };
import type { Asset } from "../static-answer.ts";
import { bundle } from "./bundle.ts" with { type: "macro" };

export const PAGE: Asset = { path: page, contentType: "text/html; charset=utf-8" };

export const SCRIPT: string = bundle();

/** By their names under /live/, beside the script. */
export const ASSETS: ReadonlyMap<string, Asset> = new Map([
  ["style.css", { path: style, contentType: "text/css; charset=utf-8" }],
  ["favicon.svg", { path: favicon, contentType: "image/svg+xml" }],
]);
