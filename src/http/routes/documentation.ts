import { ProxyError } from "../../core/errors.ts";
import { EXAMPLE_MODEL } from "../docs/example-model.ts";
import type { Services } from "../services.ts";
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
      answer: async ({ request }, services) => {
        document ??= makeDocument(routes());
        const json = named(await document, servedModel(request, services));
        const vary = { vary: "Authorization, X-Api-Key" };
        return staticAnswer(json, etagOf(json), "application/json", request, vary);
      },
    }),
  ];
}

/** A model to try the examples with; null when there is none, or it is not for this caller to know. */
function servedModel(request: Request, { access, peers, registry }: Services): string | null {
  try {
    access.admit("client", request, peers.of(request));
  } catch (error) {
    if (error instanceof ProxyError) return null;
    throw error;
  }
  const nodes = registry.nodes().filter(({ models }) => models.length > 0);
  const node = nodes.find(({ health }) => health.state === "healthy") ?? nodes[0];
  if (node === undefined || registry.serves(EXAMPLE_MODEL)) return null;
  return node.models[0] ?? null;
}

/** The document with a model that is served in its examples, so that they can be sent as they are. */
function named(json: string, model: string | null): string {
  return model === null ? json : json.replaceAll(`"${EXAMPLE_MODEL}"`, () => JSON.stringify(model));
}

async function makeDocument(routes: readonly Route[]): Promise<string> {
  const { documentOf } = await import("../docs/document.ts");
  return JSON.stringify(await documentOf(routes));
}
