/** Where the real executable sends requests whose prompts, or sessions, belong together. */
import { expect, test } from "bun:test";
import { kill } from "../support/kill.ts";
import { startProxy } from "../support/proxy.ts";
import { type RecordingNode, startRecordingNode } from "../support/recording-node.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

const MODEL = "tiny";
const NODES = 3;

/** Text that begins like no other. */
function text(of: string): string {
  return `${of}: all happy families are alike; every unhappy family is unhappy in its own way. `.repeat(
    30,
  );
}

/** A proxy with three nodes, and which of them gets what is asked. */
async function startCluster(strategy: string, ...flags: readonly string[]) {
  const nodes = await Promise.all(Array.from({ length: NODES }, () => startRecordingNode([MODEL])));
  const proxy = await startProxy([
    "--strategy",
    strategy,
    ...flags,
    ...nodes.flatMap(({ url }) => ["--node", url]),
  ]);
  await untilHealthy(proxy, NODES);
  return {
    proxy,
    post: (path: string) => fetch(proxy.url + path, { method: "POST" }),
    async ask(path: string, body: object, headers: Readonly<Record<string, string>> = {}) {
      const before = nodes.map(({ asked }) => asked.length);
      const answer = await fetch(`${proxy.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ model: MODEL, ...body }),
      });
      await answer.bytes();
      expect(answer.status).toBe(200);
      return nodes.findIndex(({ asked }: RecordingNode, i) => asked.length > (before[i] ?? 0));
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      for (const node of nodes) await node[Symbol.asyncDispose]();
    },
  };
}

/** Each of ten conversations of four turns, turn by turn: the nodes it was on. */
async function converse(
  turn: (conversation: string, said: readonly string[]) => Promise<number>,
): Promise<Set<number>[]> {
  const visited = Array.from({ length: 10 }, () => new Set<number>());
  for (let turns = 1; turns <= 4; turns += 1) {
    for (const [i, nodes] of visited.entries()) {
      const said = Array.from({ length: turns }, (_, at) => text(`${i}, ${at}`));
      nodes.add(await turn(String(i), said));
    }
  }
  return visited;
}

test.each([
  [
    "/v1/chat/completions",
    (said: readonly string[]) => ({ messages: said.map((content) => ({ role: "user", content })) }),
  ],
  ["/v1/completions", (said: readonly string[]) => ({ prompt: said.join("") })],
  [
    "/generate",
    (said: readonly string[]) => ({ input_ids: [...new TextEncoder().encode(said.join(""))] }),
  ],
])("prefix_aware: a conversation stays where its prefix is, %s", async (path, make) => {
  // Under the name that other routers have for it.
  await using cluster = await startCluster("cache_aware");
  const visited = await converse((_name, said) => cluster.ask(path, make(said)));
  for (const nodes of visited) expect(nodes.size).toBe(1);
  expect(new Set(visited.flatMap((nodes) => [...nodes])).size).toBeGreaterThan(1);
});

test("prefix_aware with workers: a conversation stays where its prefix is, whichever worker its turns come to", async () => {
  await using cluster = await startCluster("prefix_aware", "--workers", "3");
  const visited = await converse((_name, said) =>
    // Over a connection of its own, which any may get.
    cluster.ask("/v1/completions", { prompt: said.join("") }, { connection: "close" }),
  );
  for (const nodes of visited) expect(nodes.size).toBe(1);
  expect(new Set(visited.flatMap((nodes) => [...nodes])).size).toBeGreaterThan(1);
});

test("consistent_hash: a session stays on its node, whatever it says", async () => {
  await using cluster = await startCluster("consistent_hash");
  const visited = await converse((name, said) =>
    cluster.ask("/v1/completions", { prompt: said.at(-1) }, { "x-session-id": name }),
  );
  for (const nodes of visited) expect(nodes.size).toBe(1);
  expect(new Set(visited.flatMap((nodes) => [...nodes])).size).toBeGreaterThan(1);
});

test("round_robin: each in turn", async () => {
  await using cluster = await startCluster("round_robin");
  const order: number[] = [];
  for (let i = 0; i < 9; i += 1) order.push(await cluster.ask("/v1/completions", { prompt: "p" }));
  expect(order.slice(3)).toEqual(order.slice(0, 6));
  expect(new Set(order).size).toBe(NODES);
});

test("sticky_least_loaded: sessions are shared out and stay, until they are finished", async () => {
  await using cluster = await startCluster("manual", "--session-header", "x-chat");
  const names = ["a", "b", "c", "d", "e", "f"];
  const visit = (name: string) =>
    cluster.ask("/v1/completions", { prompt: "p" }, { "x-chat": name });
  const homes: number[] = [];
  for (const name of names) homes.push(await visit(name));
  for (let node = 0; node < NODES; node += 1) {
    expect(homes.filter((home) => home === node)).toHaveLength(2);
  }
  for (const [at, name] of names.entries()) expect(await visit(name)).toBe(homes[at] ?? -1);
  // All of one node's, and no other node has fewer then.
  const [first = -1] = homes;
  for (const [at, name] of names.entries()) {
    if (homes[at] !== first) continue;
    const finished = await cluster.post(`/finish_session?session_id=${name}`);
    expect(await finished.json()).toEqual({ status: "ok", session_id: name });
  }
  expect([await visit("g"), await visit("h")]).toEqual([first, first]);
});

test("with workers, a session stays on its node whichever it comes to, also when one is killed, and ends in all", async () => {
  await using cluster = await startCluster("sticky_least_loaded", "--workers", "2");
  // Over a connection of its own, which either may get.
  const visit = (name: string) =>
    cluster.ask("/v1/completions", {}, { "x-session-id": name, connection: "close" });
  const names = Array.from({ length: 12 }, (_, at) => `${at}`);
  const homes: number[] = [];
  for (const name of names) homes.push(await visit(name));
  for (let node = 0; node < NODES; node += 1) {
    expect(homes.filter((home) => home === node)).toHaveLength(4);
  }
  const again = async () => {
    const seen: number[] = [];
    for (const name of names) seen.push(await visit(name));
    return seen;
  };
  for (let turn = 0; turn < 3; turn += 1) expect(await again()).toEqual(homes);
  const workers = () => [...cluster.proxy.log().matchAll(/worker serves","pid":(\d+)/g)];
  for (const [, pid] of workers()) {
    const before = workers().length;
    kill(pid, "SIGKILL");
    await until("another serves", () => workers().length > before);
    expect(await again()).toEqual(homes);
  }
  const [first = -1] = homes;
  const mine = names.filter((_, at) => homes[at] === first);
  for (const name of mine) await cluster.post(`/finish_session?session_id=${name}`);
  // No other node has fewer then.
  for (const name of ["a", "b", "c", "d"]) expect(await visit(name)).toBe(first);
}, 60_000);

test("--sticky over round_robin: a session stays, whoever names it; others go in turn", async () => {
  await using cluster = await startCluster("round_robin", "--sticky");
  const ask = (body: object, headers: Record<string, string> = {}) =>
    cluster.ask("/v1/chat/completions", { messages: [], ...body }, headers);
  const home = await ask({ prompt_cache_key: "s" });
  const visited = new Set<number>();
  for (const name of [
    "x-session-id",
    "x-session-affinity",
    "x-claude-code-session-id",
    "thread-id",
  ]) {
    // Of no session, and with an empty name, which is none.
    visited.add(await ask({}));
    visited.add(await ask({}, { [name]: "" }));
    expect(await ask({}, { [name]: "s" })).toBe(home);
  }
  expect(visited.size).toBeGreaterThan(1);
});
