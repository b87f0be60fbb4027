/** `scripts/find-the-node`: plants each fault, and looks for it in three ways at once. */
import { parseArgs } from "node:util";
import { seededRandom } from "../../src/sim/model/seeded-random.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import { type EngineProcess, startEngineProcess } from "../../test/support/engine-process.ts";
import { type ProxyProcess, startProxy } from "../../test/support/proxy.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { CAUSES, type Cause, type Named } from "./cause.ts";
import { fromList } from "./from-list.ts";
import { fromLog } from "./from-log.ts";
import { Watched } from "./from-page.ts";

/** Traffic before the fault, and after it until it has to be found, s. */
const BEFORE_S = 15;
const WITHIN_S = 30;
const REQUESTS_PER_S = 20;
const FLOOD = 150;

/** Breaks the engine; returns what ends that. */
const FAULTS: Readonly<Record<Cause, (engine: EngineProcess) => Promise<() => void>>> = {
  killed: async (engine) => {
    engine.kill("SIGKILL");
    await engine.exited;
    return () => {};
  },
  hung: async (engine) => {
    engine.kill("SIGSTOP");
    return () => engine.kill("SIGCONT");
  },
  slowed: async (engine) => {
    await engine.setFaults([{ fault: { kind: "slow", firstByteMs: 1_000, perChunkMs: 100 } }]);
    return () => {};
  },
  errors: async (engine) => {
    await engine.setFaults([{ fault: { kind: "engine-error" } }]);
    return () => {};
  },
  flooded: async (engine) => {
    const leaving = new AbortController();
    for (let sent = 0; sent < FLOOD; sent += 1) {
      ask(engine.url, { max_tokens: 4_000, ignore_eos: true }, leaving.signal);
    }
    return () => leaving.abort();
  },
};

/** Reads the answer to its end, whatever becomes of it. */
function ask(url: string, more: object = {}, signal: AbortSignal | null = null): void {
  const body = { model: "tiny", prompt: "Tell me.", stream: true, max_tokens: 32, ...more };
  fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal === null ? {} : { signal }),
  })
    .then((answer) => answer.bytes())
    .catch(() => {});
}

interface Result {
  readonly cause: Cause;
  readonly finder: string;
  readonly named: Named | null;
  readonly afterS: number;
  /** Named before there was anything to name. */
  readonly isEarly: boolean;
  readonly isRight: boolean;
}

async function plant(cause: Cause, nodes: number, random: () => number): Promise<Result[]> {
  const others = await Promise.all(
    Array.from({ length: nodes - 1 }, () =>
      startEngine({ port: 0, models: ["tiny"], timeScale: 1 }),
    ),
  );
  await using engine = await startEngineProcess({ timeScale: 1 });
  const urls = others.map(({ url }) => url);
  urls.splice(Math.floor(random() * nodes), 0, engine.url);
  await using proxy = await startProxy(urls.flatMap((url) => ["--node", url]));
  await untilHealthy(proxy, nodes);
  const page = new Watched(proxy.url);
  const load = setInterval(() => ask(proxy.url), 1_000 / REQUESTS_PER_S);
  try {
    await Bun.sleep(BEFORE_S * 1_000);
    const finders = findersOf(proxy, page);
    const early = await Promise.all(Object.values(finders).map((look) => look()));
    const end = await FAULTS[cause](engine);
    const results = await search(finders, cause, engine.url, early);
    end();
    return results;
  } finally {
    clearInterval(load);
    await Promise.all(others.map((other) => other.stop(true)));
  }
}

/** Each knows what it looks at, and nothing else. */
function findersOf(proxy: ProxyProcess, page: Watched) {
  return {
    log: async () => fromLog(proxy.log()),
    list: async () => fromList(await list(proxy)),
    page: async () => page.named(),
  };
}

async function search(
  finders: ReturnType<typeof findersOf>,
  cause: Cause,
  url: string,
  early: readonly (Named | null)[],
): Promise<Result[]> {
  const startMs = performance.now();
  const looks = Object.entries(finders).map(async ([finder, look], at) => {
    let named = early[at] ?? null;
    let afterS = 0;
    while (named === null && afterS < WITHIN_S) {
      await Bun.sleep(1_000);
      named = await look();
      afterS = (performance.now() - startMs) / 1_000;
    }
    const isEarly = early[at] !== null;
    const isRight = !isEarly && named?.node === url && named.cause === cause;
    return { cause, finder, named, afterS, isEarly, isRight };
  });
  return await Promise.all(looks);
}

/** What an operator has: the command's own output. */
async function list(proxy: ProxyProcess): Promise<string> {
  const command = [process.execPath, "src/main.ts", "nodes", "list", "--json"];
  const child = Bun.spawn([...command, "--proxy-url", proxy.url], { stdout: "pipe" });
  return await child.stdout.text();
}

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    nodes: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
  },
});
const causes = CAUSES.filter((cause) => positionals.length === 0 || positionals.includes(cause));
const random = seededRandom(Number(values.seed));
const words = positionals.length === 0 ? "" : ` ${positionals.join(" ")}`;
console.log(`scripts/find-the-node --nodes ${values.nodes} --seed ${values.seed}${words}`);
let isGood = true;
for (const cause of causes) {
  for (const result of await plant(cause, Number(values.nodes), random)) {
    const { finder, named, afterS, isEarly, isRight } = result;
    const before = isEarly ? ", before there was a fault" : "";
    const said = named === null ? "nothing" : `${named.node} ${named.cause}${before}`;
    const verdict = isRight ? `after ${afterS.toFixed(1)} s` : `WRONG: ${said}`;
    console.log(`  ${cause.padEnd(8)} in the ${finder.padEnd(4)}  ${verdict}`);
    isGood = isGood && isRight;
  }
}
process.exit(isGood ? 0 : 1);
