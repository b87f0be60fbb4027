import { ProxyError } from "../core/errors.ts";

/** A host name or address, an IPv6 one in brackets, and a port (RFC 9110 §7.2). */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{0,5})?$/i;

/** With a path and without a fragment. */
const ABSOLUTE_URL = /^https?:\/\/[^/]+\/[^#]*$/;

/**
 * Sees to it that everybody who looks at `request.url` finds the same path in it. Bun 1.4.5 makes the
 * URL of the `Host` header: two of them are joined by a comma, one that it cannot read leaves the
 * bare path, and whoever looks for the path behind the authority then finds another one.
 *
 * @param needsNoHost Whether a path is answered without a `Host`, which HTTP/1.0 may leave out.
 * @throws ProxyError invalid_request for a `Host` that is missing, no host or more than one, and for
 * a target that is no path.
 */
export function settleTarget(request: Request, needsNoHost: (path: string) => boolean): void {
  const { url } = request;
  const host = request.headers.get("host");
  if (host === null && url.startsWith("/") && needsNoHost(pathOf(url))) {
    Object.defineProperty(request, "url", { value: `http://localhost${url}` });
    return;
  }
  if (host === null || !HOST.test(host)) {
    throw new ProxyError("invalid_request", "Send one Host header that names one host.", {
      close: true,
    });
  }
  if (!ABSOLUTE_URL.test(url)) {
    throw new ProxyError("invalid_request", "Ask for a path, without a fragment.", { close: true });
  }
  // Elysia looks for the path behind the seventh character, where it is only in http URLs.
  if (url.startsWith("https:")) {
    Object.defineProperty(request, "url", { value: `http${url.slice("https".length)}` });
  }
}

/**
 * Path and query; the authority is what reached us, not what engines need.
 * @param path Stands in for the request's own.
 */
export function targetOf({ url }: Request, path?: string): string {
  const target = url.slice(url.indexOf("/", "https://".length));
  return path === undefined ? target : path + target.slice(pathOf(target).length);
}

/** The path of a target, without its query. */
export function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}
