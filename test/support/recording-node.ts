/** An engine that answers everything and keeps what it was asked for, beside what proxies ask by themselves. */
export interface RecordingNode extends AsyncDisposable {
  readonly url: string;
  /** Method, target, and body where there is one. */
  readonly asked: string[];
  /** Models that it lists. */
  models: string[];
  /** Status of the answers to what is recorded. */
  status: number;
}

const GIVES = /^\/v1\/(?:chat\/completions|completions|messages|responses|embeddings)$/;

export function startRecordingNode(models: readonly string[] = ["tiny"]): RecordingNode {
  const node = { asked: [] as string[], models: [...models], status: 200 };
  const server: Bun.Server<undefined> = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request): Promise<Response> {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/health" || pathname === "/metrics") return new Response();
      if (pathname === "/v1/models") {
        const data = node.models.map((id) => ({ id, object: "model" }));
        return Response.json({ object: "list", data });
      }
      const body = await request.text();
      node.asked.push(`${request.method} ${pathname}${search} ${body}`.trim());
      if (pathname.endsWith("/load_lora_adapter")) node.models.push(JSON.parse(body).lora_name);
      // Whatever was asked for: without, it would be no answer.
      const lists = { choices: [{}], content: [{}], output: [{}], data: [{}] };
      const given = GIVES.test(pathname) ? lists : {};
      return Response.json({ port: server.port, ...given }, { status: node.status });
    },
  });
  return Object.assign(node, {
    url: server.url.origin,
    [Symbol.asyncDispose]: () => server.stop(true),
  });
}
