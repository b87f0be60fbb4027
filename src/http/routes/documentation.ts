import { ProxyError } from "../../core/errors.ts";
import { etagOf, fileAnswer, staticAnswer } from "../static-answer.ts";
import { type Route, route } from "./route.ts";

const ROW = { method: "GET", who: "anybody" } as const;
const TAGS = ["Documentation"];

/**
 * The page at /docs and the document behind it. Nothing is loaded or made before somebody asks for it:
 * starting costs what a few routes cost.
 * @param routes All rows, these among them.
 */
export function documentationRoutes(routes: () => readonly Route[]): readonly Route[] {
  let document: Promise<string> | null = null;

  return [
    route({
      ...ROW,
      path: "/docs",
      detail: {
        tags: TAGS,
        operationId: "getDocs",
        summary: "This page",
        responses: {
          "200": {
            description: "The page",
            content: { "text/html": { schema: { type: "string" } } },
          },
        },
      },
      answer: async ({ request }) => {
        const { PAGE } = await import("../docs/assets.ts");
        return await fileAnswer(PAGE, request);
      },
    }),
    route({
      ...ROW,
      path: "/docs/:file",
      // What the page is made of.
      detail: { hide: true },
      answer: async ({ params, request }) => {
        const { ASSETS } = await import("../docs/assets.ts");
        const { file = "" } = params;
        const asset = ASSETS.get(file);
        if (asset === undefined) {
          throw new ProxyError("not_found", "There is nothing here; see /docs.");
        }
        return await fileAnswer(asset, request);
      },
    }),
    route({
      ...ROW,
      path: "/openapi.json",
      detail: {
        tags: TAGS,
        operationId: "getOpenApiDocument",
        summary: "This document",
        responses: {
          "200": {
            description: "OpenAPI 3.1",
            content: { "application/json": { schema: { type: "object" } } },
          },
        },
      },
      answer: async ({ request }) => {
        document ??= makeDocument(routes());
        const json = await document;
        return staticAnswer(json, etagOf(json), "application/json", request);
      },
    }),
  ];
}

async function makeDocument(routes: readonly Route[]): Promise<string> {
  const { documentOf } = await import("../docs/document.ts");
  return JSON.stringify(await documentOf(routes));
}
