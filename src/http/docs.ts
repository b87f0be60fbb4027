import document from "../../docs/openapi.json";

/**
 * The document that a running proxy serves at /openapi.json, without running one: the file that
 * `scripts/openapi.ts` wrote, which a test compares with what is served.
 */
export async function openApiDocument(): Promise<object> {
  return document;
}
