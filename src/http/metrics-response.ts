/** Smaller pages are not worth packing, bytes. */
const LEAST_PACKED_BYTES = 4 * 1024;

/** In a thread of its own: a megabyte takes longer than a chunk of anybody's stream should wait. */
async function pack(text: string): Promise<Buffer> {
  const { gzip } = await import("node:zlib");
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  gzip(text, { level: 1 }, (error, packed) => (error === null ? resolve(packed) : reject(error)));
  return await promise;
}

/** The page as whoever reads it asks for it: dialect by `Accept`, packed by `Accept-Encoding`. */
export async function metricsResponse(
  request: Request,
  page: (openMetrics: boolean) => string | Promise<string>,
): Promise<Response> {
  const openMetrics = /application\/openmetrics-text/i.test(request.headers.get("accept") ?? "");
  const type = openMetrics
    ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
    : PLAIN_METRICS;
  return await packed(request, await page(openMetrics), type);
}

/** Of Prometheus' text format. */
export const PLAIN_METRICS = "text/plain; version=0.0.4; charset=utf-8";

/** A page, packed for whoever takes it so. */
export async function packed(request: Request, text: string, type: string): Promise<Response> {
  const headers = new Headers({ "content-type": type, vary: "Accept, Accept-Encoding" });
  const mayPack = /\bgzip\b/i.test(request.headers.get("accept-encoding") ?? "");
  if (!mayPack || text.length < LEAST_PACKED_BYTES) return new Response(text, { headers });
  headers.set("content-encoding", "gzip");
  return new Response(await pack(text), { headers });
}
