/** Engines that refuse what their peers answer, and adapters that have gone from one of them. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { type Cluster, chat, count, MODEL, only, startCluster, startRole } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
// By no other strategy it is sure to get a share.
const FLAGS = ["--strategy", "random"];

async function statuses(
  cluster: Pick<Cluster, "chat">,
  requests: number,
  body: object = {},
): Promise<number[]> {
  const all: number[] = [];
  for (let nth = 0; nth < requests; nth += 1) {
    const answer = await cluster.chat(body);
    all.push((await answer.bytes()).length === 0 ? 0 : answer.status);
  }
  return all;
}

function refuse(engine: RunningEngine, status: number): void {
  engine.setFaults([
    { path: CHAT, fault: { kind: "answer", status, body: status === 200 ? "" : "no" } },
  ]);
}

test.each([
  ["prefills", 400, "refuses (400)", 1],
  ["prefills", 422, "refuses (422)", 1],
  ["prefills", 403, "refuses (403)", 0],
  // It is offered the same blocks.
  ["decodes", 400, "refuses (400)", 0],
  ["decodes", 200, "answers nothing to", 1],
] as const)(
  "of three %s one answers everything with %d: it %s what its peers answer",
  async (role, status, what, seen) => {
    await using cluster = await startCluster({ prefills: 3, decodes: 3, flags: FLAGS });
    const odd = only(cluster[role]);
    refuse(odd, status);
    const all = await statuses(cluster, 40);
    expect(all.filter((one) => one !== 200).length).toBeLessThanOrEqual(seen);
    expect((await cluster.proxy.status())[odd.url]?.last_error).toBe(
      `${what} what its peers answer`,
    );
    await cluster.quiet();
  },
);

/** A refusal without a length, as one that is packed on its way. */
function refuseInChunks(engine: RunningEngine): void {
  const headers = { "transfer-encoding": "chunked" };
  const body = "2\r\nno\r\n0\r\n\r\n";
  engine.setFaults([{ path: CHAT, fault: { kind: "answer", status: 400, headers, body } }]);
}

test.each([
  ["prefills", 503, "of known length"],
  ["prefills", 500, "of known length"],
  ["prefills", 500, "in chunks"],
  ["decodes", 503, "of known length"],
  ["decodes", 500, "of known length"],
  ["decodes", 500, "in chunks"],
] as const)(
  "what one of two %s refuses, and the other answers with %d, is answered with the refusal, %s",
  async (role, status, form) => {
    await using cluster = await startCluster({ prefills: 2, decodes: 2, flags: FLAGS });
    const [first, second] = cluster[role];
    if (first === undefined || second === undefined) throw new Error("no engines");
    if (form === "in chunks") refuseInChunks(first);
    else refuse(first, 400);
    refuse(second, status);
    // Whoever is asked first, as long as the other is in.
    const seen = new Set(await statuses(cluster, 4));
    expect(seen).toEqual(new Set([400]));
    await cluster.quiet();
  },
);

test("what one prefill engine refuses, and another one prefills, is not answered with the refusal where decoding fails", async () => {
  await using cluster = await startCluster({ prefills: 2, decodes: 2, flags: FLAGS });
  const [first] = cluster.prefills;
  if (first === undefined) throw new Error("no engine");
  refuse(first, 400);
  for (const engine of cluster.decodes) refuse(engine, 500);
  expect(await statuses(cluster, 8)).not.toContain(400);
  await cluster.quiet();
});

test("a refused one whose peer fails gets its refusal, and does not wait for a place on a third that is full", async () => {
  const limits = ["--max-concurrency-per-node", "1", "--queue-timeout", "600"];
  await using cluster = await startCluster({
    prefills: 3,
    decodes: 3,
    flags: [...FLAGS, ...limits],
  });
  for (const engine of cluster.prefills) engine.setPace(0);
  const held = cluster.chat();
  const full = await until("one is full", async () => {
    const nodes = await cluster.proxy.status();
    return cluster.prefills.find(({ url }) => nodes[url]?.unfinished === 1);
  });
  const [first, second] = cluster.prefills.filter((engine) => engine !== full);
  if (first === undefined || second === undefined) throw new Error("no engines");
  refuse(first, 400);
  refuse(second, 500);
  for (const engine of [first, second]) engine.setPace(1);
  // Whoever is asked first.
  expect(new Set(await statuses(cluster, 4))).toEqual(new Set([400]));
  full.setPace(1);
  expect((await held).status).toBe(200);
  await cluster.quiet();
});

test.each(["prefills", "decodes"] as const)(
  "where all %s refuse, none is out, and few requests are tried twice",
  async (role) => {
    await using cluster = await startCluster({ prefills: 2, decodes: 2, flags: FLAGS });
    for (const engine of cluster[role]) refuse(engine, 400);
    expect(await statuses(cluster, 40)).toEqual(times(40, 400));
    expect(cluster.proxy.log().includes("node is out")).toBe(false);
    // Those whose pairs are made anew begin once more with them.
    expect(count(cluster, "prefills", CHAT)).toBeLessThanOrEqual(role === "prefills" ? 50 : 60);
    // Blocks are offered to another decode engine as ever.
    const offered = count(cluster, "decodes", CHAT);
    expect(offered).toBeLessThanOrEqual(2 * count(cluster, "prefills", CHAT));
    await cluster.quiet();
  },
);

test("what the only decode engine refuses lacks no node, by the metrics", async () => {
  await using cluster = await startCluster({ flags: ["--health-interval", "600"] });
  refuse(only(cluster.decodes), 400);
  expect(await statuses(cluster, 1)).toEqual([400]);
  await cluster.quiet();
  const page = await (await fetch(`${cluster.proxy.url}/metrics`)).text();
  const series = page.match(/^lmproxy_retries_total\{.*$/gm) ?? [];
  // Over the pair made anew.
  expect(series).toEqual(['lmproxy_retries_total{reason="answered",result="tried"} 1']);
});

/** Two engines of either role whose models are read from their lists, as those are that flags name. */
async function startListed(models: (role: "prefills" | "decodes", nth: number) => string[]) {
  const start = (role: "prefills" | "decodes") =>
    times(2, null).map((_, nth) =>
      startRole(role === "prefills" ? "Prefill" : "Decode", null, { models: models(role, nth) }),
    );
  const prefills = await Promise.all(start("prefills"));
  const decodes = await Promise.all(start("decodes"));
  const proxy = await startProxy([
    ...["--serving-strategy", "DistServe", ...FLAGS],
    ...prefills.flatMap(({ url }) => ["--prefill", url]),
    ...decodes.flatMap(({ url }) => ["--decode", url]),
  ]);
  await until("all are connected, and their models known", async () => {
    const statuses = await proxy.status();
    return [...prefills, ...decodes].every(({ url }) => {
      const status = statuses[url];
      return status?.state === "healthy" && status.pairs === 2 && status.models.includes(MODEL);
    });
  });
  return {
    proxy,
    prefills,
    decodes,
    chat: (body: object) => chat(proxy.url, body),
    async [Symbol.asyncDispose]() {
      await proxy.end("SIGKILL");
      await Promise.all([...prefills, ...decodes].map((engine) => engine.stop(true)));
    },
  };
}

describe.each(["prefills", "decodes"] as const)(
  "an adapter that one of two %s has unloaded",
  (role) => {
    test("is asked of the one that has loaded it meanwhile", async () => {
      await using cluster = await startListed((of, nth) =>
        of === role && nth === 1 ? [MODEL] : [MODEL, "a"],
      );
      const [first, second] = cluster[role];
      expect(await statuses(cluster, 2, { model: "a" })).toEqual(times(2, 200));
      first?.setModels([MODEL]);
      second?.setModels([MODEL, "a"]);
      expect(await statuses(cluster, 4, { model: "a" })).toEqual(times(4, 200));
      expect(cluster.proxy.log().includes("node is out")).toBe(false);
    });

    test("takes it out for nothing else", async () => {
      await using cluster = await startListed(() => [MODEL, "a"]);
      only(cluster[role]).setModels([MODEL]);
      const asked = times(20, null).map(async () => (await cluster.chat({ model: "a" })).status);
      expect(await Promise.all(asked)).toEqual(times(20, 200));
      expect(cluster.proxy.log().includes("node is out")).toBe(false);
      // Nor is its pair in doubt, which would be made anew.
      expect(cluster.proxy.log().match(/pair connected/g)?.length).toBe(4);
    });
  },
);
