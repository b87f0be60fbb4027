/** An engine whose requests wait until the test lets them go on. */

export interface GateEngine {
  readonly url: string;
  /** What requests called themselves (`name` in the body), in the order they arrived. */
  readonly arrived: readonly string[];
  /** Requests that wait now. */
  readonly waiting: number;
  /** Lets the `count` that wait longest be answered. */
  release(count: number): void;
  /** Takes no further connection; what it has goes on. */
  stopListening(): void;
  stop(): Promise<void>;
}

export function startGateEngine(model = "tiny"): GateEngine {
  const arrived: string[] = [];
  const gates: (() => void)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    routes: {
      "/health": new Response(),
      "/v1/models": Response.json({ object: "list", data: [{ id: model, object: "model" }] }),
      "/metrics": new Response("", { status: 404 }),
    },
    fetch: async (request: Request) => {
      const name = /"name":"([^"]*)"/.exec(await request.text())?.[1];
      arrived.push(name ?? "");
      await new Promise<void>((open) => {
        gates.push(open);
        request.signal.addEventListener("abort", () => {
          const index = gates.indexOf(open);
          if (index >= 0) gates.splice(index, 1);
          open();
        });
      });
      return Response.json({ name, choices: [{}] });
    },
  });
  return {
    url: server.url.origin,
    arrived,
    get waiting() {
      return gates.length;
    },
    release(count) {
      for (const open of gates.splice(0, count)) open();
    },
    stopListening: () => void server.stop(),
    stop: () => server.stop(true),
  };
}
