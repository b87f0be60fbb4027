/** Conversations that engines keep: OpenAI's client, two proxies, and engines of which each has its own. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

interface Keeper {
  readonly server: Bun.Server<undefined>;
  /** Items of each conversation, by their ids. */
  readonly kept: Map<string, Map<string, object>>;
}

interface Sent {
  readonly metadata?: object;
  readonly items?: readonly { readonly id: string }[];
}

/** Keeps conversations as OpenAI does, as far as these tests look. */
function startKeeper(name: string): Keeper {
  const kept: Keeper["kept"] = new Map();
  const server: Bun.Server<undefined> = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request): Promise<Response> {
      const [first, id = "", items, item = ""] = new URL(request.url).pathname.slice(4).split("/");
      if (first === "models") return Response.json({ object: "list", data: [{ id: "m" }] });
      if (first === "responses") return Response.json({ id: `resp_${name}`, output: [] });
      if (first !== "conversations") return new Response();
      if (id === "") {
        const made = `conv_${name}${kept.size}`;
        kept.set(made, new Map());
        return Response.json({ id: made, object: "conversation" });
      }
      const its = kept.get(id);
      if (its === undefined) return Response.json({ error: "nobody" }, { status: 404 });
      const { method } = request;
      const sent: Sent = method === "POST" ? JSON.parse(await request.text()) : {};
      if (items === undefined) {
        if (method === "DELETE") kept.delete(id);
        return Response.json({ id, object: "conversation", metadata: sent.metadata ?? {} });
      }
      if (item !== "") {
        if (method === "DELETE") its.delete(item);
        return Response.json(its.get(item) ?? { id });
      }
      for (const one of sent.items ?? []) its.set(one.id, one);
      return Response.json({ object: "list", data: [...its.values()] });
    },
  });
  return { server, kept };
}

let keepers: Keeper[];
/** The other knows of no conversation: as the first after a restart. */
let proxies: ProxyProcess[];
let clients: OpenAI[];

beforeAll(async () => {
  keepers = ["a", "b", "c"].map(startKeeper);
  const nodes = keepers.flatMap(({ server }) => ["--node", server.url.origin]);
  const flags = ["--strategy", "round_robin", ...nodes];
  proxies = await Promise.all([startProxy(flags), startProxy(flags)]);
  await Promise.all(proxies.map((proxy) => untilHealthy(proxy, 3)));
  clients = proxies.map(
    ({ url }) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 }),
  );
});

afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.end("SIGKILL")));
  await Promise.all(keepers.map(({ server }) => server.stop(true)));
});

test("a conversation and its items are where it began, in a proxy that knows it and in another", async () => {
  const [first] = clients;
  const made = await Promise.all(keepers.map(async () => first?.conversations.create({})));
  const ids = made.map((one) => one?.id ?? "");
  expect(keepers.map(({ kept }) => kept.size)).toEqual([1, 1, 1]);
  for (const [at, client] of clients.entries()) {
    for (const id of ids) {
      const item = { id: `msg_${at}`, type: "message" as const, role: "user" as const };
      const { conversations } = client;
      expect((await conversations.retrieve(id)).id).toBe(id);
      const metadata = { topic: "x" };
      expect((await conversations.update(id, { metadata })).metadata).toEqual(metadata);
      await conversations.items.create(id, { items: [{ ...item, content: "hi" }] });
      expect((await conversations.items.list(id)).data).toHaveLength(1);
      const wanted = { conversation_id: id };
      expect((await conversations.items.retrieve(item.id, wanted)).id).toBe(item.id);
      await conversations.items.delete(item.id, wanted);
      const answer = await client.responses.create({ model: "m", input: "hi", conversation: id });
      expect(answer.id.at(-1)).toBe(id.slice(5, 6));
    }
  }
  for (const id of ids) await clients[1]?.conversations.delete(id);
  expect(keepers.map(({ kept }) => kept.size)).toEqual([0, 0, 0]);
});

test("one that nobody has is 404 in the engine's words, and what is no id goes nowhere", async () => {
  const [proxy] = proxies;
  const asked = async (path: string) => {
    const answer = await fetch(`${proxy?.url}/v1/conversations/${path}`);
    return [answer.status, await answer.text()];
  };
  expect(await asked("conv_nobodys")).toEqual([404, '{"error":"nobody"}']);
  for (const path of ["..%2fx", "conv_1/items/..%2fx"]) {
    const [status, text] = await asked(path);
    expect([status, String(text).includes('"nobody"')]).toEqual([404, false]);
  }
  const states = Object.values((await proxy?.status()) ?? {});
  expect(states.map(({ state }) => state)).toEqual(["healthy", "healthy", "healthy"]);
});
