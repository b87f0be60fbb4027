/**
 * The way from a bare pass-through to lmproxy, a step at a time: `bun step-proxy.ts PORT STEPS NODE`
 * does what the first STEPS of `STEPS` say, and nothing else.
 */
import { Elysia } from "elysia";
import { scanRequestHead } from "../src/core/body/request-head.ts";
import { answerHeaders, requestHeaders } from "../src/core/headers.ts";
import { requestId } from "../src/core/request-id.ts";
import { isShort } from "../src/upstream/relay.ts";

/** In the order they are added; what a proxy like this cannot go without. */
export const STEPS = [
  "the answer passes through our hands: its first byte and its end are seen",
  "the client's address is asked for",
  "headers: hop-by-hop ones go, `X-Forwarded-*` and `X-Request-Id` come, on both ways",
  "the body is checked, and `model` found in it",
  "an abort signal of our own: for time limits and nodes that die",
  "Elysia",
] as const;

export function startStepProxy(port: number, steps: number, node: string): void {
  const [isWhole, hasAddress, hasHeaders, isScanned, hasSignal, hasElysia] = STEPS.map(
    (_, step) => step < steps,
  );

  async function pass(request: Request): Promise<Response> {
    const { url } = request;
    const peerAddress = hasAddress ? (server.requestIP(request)?.address ?? null) : null;
    const id = hasHeaders ? requestId(request.headers, Math.random) : "";
    const host = request.headers.get("host");
    const body = await request.bytes();
    if (isScanned) scanRequestHead(body);
    const ours = hasSignal ? new AbortController() : null;
    if (ours !== null) request.signal.addEventListener("abort", () => ours.abort());
    const headers = hasHeaders
      ? requestHeaders(request.headers, {
          ...{ peerAddress, host, proto: "http", requestId: id },
          ...{ upstreamApiKey: null, stripCredentials: false },
        })
      : request.headers;
    const answer = await fetch(node + url.slice(url.indexOf("/", "http://".length)), {
      ...{ method: "POST", headers, body, redirect: "manual", decompress: false },
      signal: ours?.signal ?? request.signal,
    });
    if (!isWhole) return answer;
    const passed = isShort(answer.headers) ? await answer.bytes() : pieceByPiece(answer);
    return new Response(passed, {
      status: answer.status,
      headers: hasHeaders ? answerHeaders(answer.headers, id) : answer.headers,
    });
  }

  const app = new Elysia().post("/v1/*", ({ request }) => pass(request), { parse: "none" });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    development: false,
    idleTimeout: 0,
    fetch: hasElysia ? (request) => app.fetch(request) : pass,
  });
}

/** The loop of `src/upstream/relay.ts` with nothing in it but reading and writing. */
function pieceByPiece(answer: Response): ReadableStream<Uint8Array> | null {
  const reader = answer.body?.getReader();
  if (reader === undefined) return null;
  return new ReadableStream<Uint8Array>({
    type: "direct",
    async pull(sink) {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const wrote = sink.write(value);
        if (typeof wrote !== "number") await wrote;
      }
      sink.close();
    },
  });
}

if (import.meta.main) {
  const [port, steps, node = ""] = Bun.argv.slice(2);
  startStepProxy(Number(port), Number(steps), node);
}
