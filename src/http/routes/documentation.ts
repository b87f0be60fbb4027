import { ProxyError } from "../../core/errors.ts";
import type { Asset } from "../docs/assets.ts";
import { type Route, route } from "./route.ts";

const ROW = { method: "GET", who: "anybody" } as const;
const TAGS = ["Documentation"];

/**
 * What the page may do: run its own scripts, ask this proxy, nothing else. The images in the style
 * sheet of swagger-ui are data URLs; its styles are set through the DOM, which needs no exception.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  // Kept, but asked about each time: a newer proxy may have another page.
  "cache-control": "no-cache",
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/**
 * The page at /docs and the document behind it. Nothing is loaded or made before somebody asks for it:
 * starting costs what a few routes cost.
 * @param routes All rows, these among them.
 */
export function documentationRoutes(routes: () => readonly Route[]): readonly Route[] {
  const etags = new Map<string, string>();
  let document: Promise<string> | null = null;

  async function assetAnswer(asset: Asset, request: Request): Promise<Response> {
    const file = Bun.file(asset.path);
    const etag = etags.get(asset.path) ?? etagOf(await file.bytes());
    etags.set(asset.path, etag);
    return answer(file, etag, asset.contentType, request);
  }

  return [
    route({
      ...ROW,
      path: "/",
      needsNoHost: true,
      detail: {
        tags: TAGS,
        operationId: "getRoot",
        summary: "Leads to /docs",
        responses: {
          "302": {
            description: "To /docs",
            headers: { Location: { schema: { type: "string" }, example: "/docs" } },
          },
        },
      },
      answer: () => new Response(null, { status: 302, headers: { location: "/docs" } }),
    }),
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
        return await assetAnswer(PAGE, request);
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
        return await assetAnswer(asset, request);
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
        return answer(json, etagOf(json), "application/json", request);
      },
    }),
  ];
}

async function makeDocument(routes: readonly Route[]): Promise<string> {
  const { documentOf } = await import("../docs/document.ts");
  return JSON.stringify(await documentOf(routes));
}

function etagOf(content: string | Uint8Array): string {
  return `"${Bun.hash(content).toString(36)}"`;
}

function answer(
  body: string | Blob,
  etag: string,
  contentType: string,
  request: Request,
): Response {
  const headers = { ...HEADERS, etag, "content-type": contentType };
  if (request.headers.get("if-none-match")?.includes(etag) === true) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(body, { headers });
}
