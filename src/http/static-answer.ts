/** Answers that are the same for everybody: what the pages for people are made of, and the document. */

/** A part of a page: a file, or a place inside the executable. */
export interface Asset {
  readonly path: string;
  readonly contentType: string;
}

/**
 * What the pages may do: run their own scripts, ask this proxy, nothing else. The images in the style
 * sheet of swagger-ui are data URLs; styles are set through the DOM, which needs no exception.
 */
export const CONTENT_SECURITY_POLICY = [
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

/** By path: what is inside the executable does not change. */
const etags = new Map<string, string>();

/** @param more As for `staticAnswer`. */
export async function fileAnswer(
  asset: Asset,
  request: Request,
  more: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const file = Bun.file(asset.path);
  const etag = etags.get(asset.path) ?? etagOf(await file.bytes());
  etags.set(asset.path, etag);
  return staticAnswer(file, etag, asset.contentType, request, more);
}

export function etagOf(content: string | Uint8Array): string {
  return `"${Bun.hash(content).toString(36)}"`;
}

/** @param more Headers beside the usual ones, or in their place. */
export function staticAnswer(
  body: string | Blob,
  etag: string,
  contentType: string,
  request: Request,
  more: Readonly<Record<string, string>> = {},
): Response {
  const headers = { ...HEADERS, ...more, etag, "content-type": contentType };
  if (request.headers.get("if-none-match")?.includes(etag) === true) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(body, { headers });
}
