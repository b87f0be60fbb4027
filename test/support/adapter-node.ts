/** An engine that loads and unloads adapters as vLLM 0.32.0 does, to the bodies of its answers. */
export interface AdapterNode extends AsyncDisposable {
  readonly url: string;
  /** Adapters that it serves beside `base`; may be changed behind the proxy's back. */
  readonly adapters: Set<string>;
  /** Models that inference was asked of it for, in order. */
  readonly asked: string[];
  /** How long a list of models takes; it shows what was there when it was asked for. */
  listMs: number;
  /** How long a good answer takes. */
  answerMs: number;
  /** Lists of models that it was asked for. */
  lists: number;
}

export function startAdapterNode(...adapters: readonly string[]): AdapterNode {
  const node = {
    adapters: new Set(adapters),
    asked: [] as string[],
    listMs: 0,
    answerMs: 0,
    lists: 0,
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request): Promise<Response> {
      const { pathname } = new URL(request.url);
      if (pathname === "/health" || pathname === "/metrics") return new Response();
      if (pathname === "/v1/models") {
        node.lists += 1;
        const data = [{ id: "base", object: "model", owned_by: "vllm", root: "/w", parent: null }];
        const loaded = [...node.adapters].map((id) => ({
          ...{ id, object: "model", owned_by: "vllm", root: `/${id}`, parent: "base" },
        }));
        const answer = Response.json({ object: "list", data: [...data, ...loaded] });
        await Bun.sleep(node.listMs);
        return answer;
      }
      const body = Object(await request.json());
      if (pathname === "/v1/load_lora_adapter") return load(node.adapters, body.lora_name);
      if (pathname === "/v1/unload_lora_adapter") return unload(node.adapters, body.lora_name);
      node.asked.push(body.model);
      if (body.model === "base" || node.adapters.has(body.model)) {
        if (node.answerMs > 0) await Bun.sleep(node.answerMs);
        return Response.json({ choices: [{}] });
      }
      return refused(
        404,
        "NotFoundError",
        `The model \`${body.model}\` does not exist. Valid aliases: base.`,
        "model",
      );
    },
  });
  return Object.assign(node, {
    url: server.url.origin,
    [Symbol.asyncDispose]: () => server.stop(true),
  });
}

function load(adapters: Set<string>, name: string): Response {
  if (adapters.has(name)) {
    const message =
      `The lora adapter '${name}' has already been loaded. If you want to load the adapter in ` +
      "place, set 'load_inplace' to True.";
    return refused(400, "InvalidUserInput", message);
  }
  adapters.add(name);
  return new Response(`Success: LoRA adapter '${name}' added successfully.`);
}

function unload(adapters: Set<string>, name: string): Response {
  if (!adapters.delete(name)) {
    return refused(404, "NotFoundError", `The lora adapter '${name}' cannot be found.`);
  }
  return new Response(`Success: LoRA adapter '${name}' removed successfully.`);
}

function refused(status: number, type: string, message: string, param: string | null = null) {
  return Response.json({ error: { message, type, param, code: status } }, { status });
}
