import type { Operations } from "./operation.ts";

const BASE = { tags: ["Documentation"], security: [] };

export const DOCS_OPERATIONS: Operations = {
  "GET /": {
    ...BASE,
    operationId: "getRoot",
    summary: "Leads to /docs",
    responses: {
      "302": {
        description: "To /docs",
        headers: { Location: { schema: { type: "string" }, example: "/docs" } },
      },
    },
  },
  "GET /docs": {
    ...BASE,
    operationId: "getDocs",
    summary: "This page",
    responses: {
      "200": {
        description: "The page",
        content: { "text/html": { schema: { type: "string" } } },
      },
    },
  },
  // What the page is made of.
  "GET /docs/:file": { hide: true },
  "GET /openapi.json": {
    ...BASE,
    operationId: "getOpenApiDocument",
    summary: "This document",
    responses: {
      "200": {
        description: "OpenAPI 3.1",
        content: { "application/json": { schema: { type: "object" } } },
      },
    },
  },
};
