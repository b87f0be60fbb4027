/** An engine that answers as LMDeploy's contract says and keeps every body it gets, byte for byte. */

export interface Call {
  readonly path: string;
  readonly body: string;
  readonly headers: Headers;
}

export interface RecordingEngine extends AsyncDisposable {
  readonly url: string;
  readonly calls: Call[];
  /** Bodies sent to `path`, in the order they came. */
  bodies(path: string): string[];
}

/** What it answers to POST, by path; a list in turn, its last for all that follow. Numbers are statuses. */
export type Answers = Readonly<Record<string, string | readonly (string | number)[]>>;

/** @param info The whole answer to engine_info. */
export function startRecordingEngine(info: string, answers: Answers, port = 0): RecordingEngine {
  const calls: Call[] = [];
  const turns = new Map<string, number>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname: path } = new URL(request.url);
      if (path === "/health") return new Response();
      if (path === "/v1/models") return json('{"object":"list","data":[{"id":"m"}]}');
      if (path === "/distserve/engine_info") return json(info);
      if (request.method === "GET") return new Response(null, { status: 404 });
      calls.push({ path, body: await request.text(), headers: request.headers });
      const all = answers[path] ?? '{"status": 1}';
      if (typeof all === "string") return json(all);
      const turn = turns.get(path) ?? 0;
      turns.set(path, turn + 1);
      const answer = all[Math.min(turn, all.length - 1)] ?? "{}";
      return typeof answer === "string" ? json(answer) : new Response("{}", { status: answer });
    },
  });
  return {
    url: server.url.origin,
    calls,
    bodies: (path) => calls.filter((call) => call.path === path).map(({ body }) => body),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

function json(body: string): Response {
  return new Response(body, { headers: { "content-type": "application/json" } });
}
