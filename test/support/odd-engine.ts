/** An engine that does exactly what a test wants of each of its endpoints; what is not given is in good health. */

export interface OddAnswers {
  /** What a request for an inference gets; `nth` counts them from 0. */
  answer: (request: Request, nth: number) => Response | Promise<Response>;
  health: () => Response | Promise<Response>;
  /** The text of `/metrics`; null: there is none. */
  metrics: () => string | null;
}

export interface OddEngine extends OddAnswers {
  readonly url: string;
  readonly port: number;
  /** Inference requests that came in, and those that are open. */
  readonly requests: number;
  readonly open: number;
  /** How often `/health` and `/metrics` were asked. */
  readonly probes: number;
  readonly polls: number;
  stop(): Promise<void>;
}

/** A short whole answer. */
export function good(): Response {
  return Response.json({ object: "text_completion", choices: [{ index: 0, text: "x" }] });
}

/** Never answered; the engine lets go when its peer does. */
export function silence(): Promise<Response> {
  return new Promise(() => {});
}

export function startOddEngine(
  options: Partial<OddAnswers> & { readonly model?: string; readonly port?: number } = {},
): OddEngine {
  let [requests, open, probes, polls] = [0, 0, 0, 0];
  const model = options.model ?? "tiny";
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: options.port ?? 0,
    idleTimeout: 0,
    routes: {
      "/health": () => {
        probes += 1;
        return engine.health();
      },
      "/v1/models": Response.json({ object: "list", data: [{ id: model, object: "model" }] }),
      "/metrics": () => {
        polls += 1;
        const page = engine.metrics();
        return page === null ? new Response("", { status: 404 }) : new Response(page);
      },
    },
    fetch: async (request) => {
      await request.bytes();
      const nth = requests;
      requests += 1;
      open += 1;
      const gone = new Promise<Response>((resolve) => {
        request.signal.addEventListener("abort", () => resolve(new Response()), { once: true });
      });
      try {
        return await Promise.race([engine.answer(request, nth), gone]);
      } finally {
        open -= 1;
      }
    },
  });
  const engine: OddEngine = {
    answer: options.answer ?? good,
    health: options.health ?? (() => new Response()),
    metrics: options.metrics ?? (() => null),
    url: server.url.origin,
    port: server.port ?? 0,
    get requests() {
      return requests;
    },
    get open() {
      return open;
    },
    get probes() {
      return probes;
    },
    get polls() {
      return polls;
    },
    stop: () => server.stop(true),
  };
  return engine;
}
