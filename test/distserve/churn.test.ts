/**
 * 5,000 mixed requests over three prefill and three decode engines, of which decode engines are
 * killed and restarted, prefill engines refuse now and then, and clients leave: at the end no block
 * is kept, nothing is in flight, and every client knows what it got.
 */
import { expect, test } from "bun:test";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { EngineOptions, RunningEngine } from "../../src/sim/server/engine-options.ts";
import { until } from "../support/until.ts";
import { type Cluster, MODEL, quiet, startCluster } from "./cluster.ts";

const SEED = 4;
const REQUESTS = 5_000;
const AT_ONCE = 48;
/** Decode engines killed and restarted meanwhile, one after the other. */
const KILLS = 12;
const LEAVING = 0.2;

const KINDS: readonly (readonly [path: string, body: object])[] = [
  ["/v1/chat/completions", { messages: "Say something.", max_tokens: 12 }],
  ["/v1/chat/completions", { messages: "Say something.", max_tokens: 24, stream: true }],
  ["/v1/completions", { prompt: "Once", max_tokens: 12 }],
  ["/v1/completions", { prompt: "Once upon", max_tokens: 24, stream: true }],
];

const ENGINE: Partial<EngineOptions> = {
  timeScale: 0.1,
  release: "0.11",
  params: { prefixCache: false },
};

const random = seededRandom(SEED);

type End = "complete" | "broken" | "left" | "error" | "cut but looks complete";

/** One client: sends, reads, perhaps leaves after so many ms or pieces, and says how it ended. */
async function client(url: string, index: number): Promise<End> {
  const [path, body] = KINDS[index % KINDS.length] ?? ["", {}];
  const gone = new AbortController();
  const leaves = random() < LEAVING;
  const timer = leaves ? setTimeout(() => gone.abort(), random() * 30) : undefined;
  let text = "";
  try {
    const answer = await fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: MODEL, ignore_eos: true, ...body }),
      signal: gone.signal,
    });
    text = await answer.text();
    if (answer.status !== 200) {
      errors.push(`${answer.status} ${text}`);
      return "error";
    }
    return isWholeAnswer(text, "stream" in body) ? "complete" : "cut but looks complete";
  } catch {
    return gone.signal.aborted ? "left" : "broken";
  } finally {
    clearTimeout(timer);
  }
}

const errors: string[] = [];

function isWholeAnswer(text: string, isStream: boolean): boolean {
  if (!isStream) return JSON.parse(text).choices[0].finish_reason === "length";
  const events = text.split("\n\n").filter((event) => event !== "");
  // One for each token, one with the reason, [DONE].
  return events.length === 26 && events.at(-1) === "data: [DONE]";
}

/**
 * Kills a decode engine, cutting all its connections, and starts another in its place. Half of those
 * register, as LMDeploy's do; the others have to be missed first, by a probe or by a request.
 */
async function replaceOne(cluster: Cluster, at: number): Promise<void> {
  const { proxy, decodes } = cluster;
  const { port, url } = decodes[at] ?? { port: 0, url: "" };
  const registers = random() < 0.5;
  await decodes[at]?.stop(true);
  if (!registers) {
    await until("it is missed", async () => (await proxy.status())[url]?.state !== "healthy");
  }
  const proxyUrls = registers ? [proxy.url] : [];
  const options = { ...ENGINE, models: [MODEL], role: "Decode", port, proxyUrls } as const;
  decodes[at] = await startEngine(options);
}

/** All nodes are healthy and connected with all of the other role. */
async function isWhole({ proxy }: Cluster): Promise<boolean> {
  const statuses = Object.values(await proxy.status());
  return statuses.every(({ state, pairs }) => state === "healthy" && pairs === 3);
}

test("5,000 requests under churn leave no KV block, no counter, and no client in the dark", async () => {
  const flags = ["--health-interval", "0.2", "--log-level", "error"];
  await using cluster = await startCluster({ prefills: 3, decodes: 3, flags, engine: ENGINE });
  // Not all: a node that refused is passed over for a second, and some pair has to be able to serve.
  for (const engine of cluster.prefills.slice(1)) refuseNowAndThen(engine);
  const ends = new Map<End, number>();
  const underWay = new Set<number>();
  let [started, kills] = [0, 0];
  const clients = Array.from({ length: AT_ONCE }, async () => {
    while (started < REQUESTS || kills < KILLS) {
      const index = started++;
      underWay.add(index);
      const end = await client(cluster.proxy.url, index);
      underWay.delete(index);
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
  });
  for (; kills < KILLS; kills += 1) {
    // Two of three are there at any time, and no request loses its engine twice: all can be served.
    await until("all are there again", () => isWhole(cluster));
    await replaceOne(cluster, kills % 3);
    const before = started;
    await until("its requests have ended", () => [...underWay].every((index) => index >= before));
  }
  await Promise.all(clients);
  expect(ends.get("cut but looks complete")).toBeUndefined();
  expect(errors).toEqual([]);
  expect(ends.get("complete") ?? 0).toBeGreaterThan(REQUESTS * 0.6);
  expect(ends.get("left") ?? 0).toBeGreaterThan(REQUESTS * 0.05);
  await quiet(cluster.proxy, [...cluster.prefills, ...cluster.decodes]);
  await until("all are there again", () => isWhole(cluster));
}, 120_000);

function refuseNowAndThen(engine: RunningEngine): void {
  engine.setFaults(
    [503, 429].map((status) => ({
      path: "/v1/*",
      probability: 0.01,
      fault: { kind: "answer", status },
    })),
  );
}
