/**
 * The floor of our own platform: `Bun.serve` and `fetch` with nothing between them, round robin.
 * Answers are handed on as Bun's native pipe, which is the cheapest it has; bodies are read first,
 * which is cheaper than piping them.
 */

/** Nothing but the request line, these, and the body goes on. */
const PASSED_HEADERS = ["content-type", "accept", "user-agent", "authorization"];

export function startBareProxy(port: number, nodes: readonly string[]): void {
  let turn = 0;
  Bun.serve({
    hostname: "127.0.0.1",
    port,
    development: false,
    idleTimeout: 0,
    maxRequestBodySize: 2 ** 31 - 1,
    error: () => new Response("upstream failed", { status: 502 }),
    async fetch(request) {
      const node = nodes[turn++ % nodes.length] ?? "";
      const { pathname, search } = new URL(request.url);
      const headers = new Headers();
      for (const name of PASSED_HEADERS) {
        const value = request.headers.get(name);
        if (value !== null) headers.set(name, value);
      }
      const body = request.method === "GET" ? null : await request.bytes();
      return fetch(node + pathname + search, {
        method: request.method,
        headers,
        body,
        redirect: "manual",
        decompress: false,
        signal: request.signal,
      });
    },
  });
}

/** Run by itself: `bun bare-proxy.ts PORT NODE…`. */
if (import.meta.main) startBareProxy(Number(Bun.argv[2]), Bun.argv.slice(3));
