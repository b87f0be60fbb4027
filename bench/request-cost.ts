/**
 * What a short request costs in the proxy's own code: `bun bench/request-cost.ts [rounds]`. The whole
 * way from Bun's `Request` to its `Response`, without sockets: fetch is answered in the next turn of the
 * event loop. Prints for each way of running the least over rounds, µs of CPU a request, all threads; what
 * is around the proxy is left off. Steps too small to be seen among sockets are seen here; what sockets,
 * fetch and the caches add is not.
 */
import { parseServeConfig } from "../src/config/serve-config.ts";
import { createApp } from "../src/http/app.ts";
import { front } from "../src/http/front.ts";
import { RouteTable } from "../src/http/routes/table.ts";
import { Log } from "../src/observe/log.ts";
import { assemble } from "../src/proxy/assemble.ts";
import { routesOf } from "../src/proxy/routes.ts";
import { jsonAnswer, MODEL, requestBody } from "./wire.ts";

type Ask = (request: Request) => Response | Promise<Response>;

const REQUESTS = 2_000;
const AT_ONCE = 64;
/** Until code is compiled. */
const WARM_ROUNDS = 5;

/** Ways of running, by what is added to a command line. */
const WAYS: Readonly<Record<string, readonly string[]>> = {
  "nothing explained, no line": ["--access-log", "off", "--explain-memory", "0"],
  "explained, no line (as in the benchmark)": ["--log-level", "error"],
  "explained, and a line as JSON": ["--log-format", "json"],
  "explained, and a line as text": ["--log-format", "text"],
};

const NODE = "http://127.0.0.1:1";
const URL_ASKED = "http://127.0.0.1:8000/v1/chat/completions";
const BODY = requestBody({ stream: false, chunks: 0, everyMs: 0, bodyBytes: 1_024 });
const ANSWER = bodyOf(jsonAnswer());
const HEADERS = {
  host: "127.0.0.1:8000",
  "content-type": "application/json",
  "content-length": String(BODY.length),
  accept: "*/*",
  "user-agent": "bench/1",
};

function bodyOf(message: Buffer): Uint8Array<ArrayBuffer> {
  return new Uint8Array(message.subarray(message.indexOf("\r\n\r\n") + 4));
}

/** An engine, in place of the network: what is asked in one turn is answered in the next. */
class Engine {
  #waiting: (() => void)[] = [];

  fetch(): Promise<Response> {
    if (this.#waiting.length === 0) setImmediate(() => this.#answer());
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve(answered()));
    });
  }

  #answer(): void {
    for (const answer of this.#waiting.splice(0)) answer();
  }

  close(): void {}
}

function answered(): Response {
  const headers = { "content-type": "application/json", "content-length": String(ANSWER.length) };
  return new Response(ANSWER, { headers });
}

function proxyOf(flags: readonly string[]): Ask {
  const argv = ["--node", NODE, "--strategy", "random", "--disable-cache-status", ...flags];
  const parsed = parseServeConfig(argv, {}, () => "");
  if (parsed.help !== null) throw new Error("no flag of these asks for help");
  const { config } = parsed;
  const sink = { write: () => {}, lost: 0 };
  const format = config.logFormat === "text" ? "text" : "json";
  const log = new Log({ level: config.logLevel, format, sink });
  const server = { requestIP: () => ({ address: "127.0.0.1" }), timeout: () => {} };
  const { services } = assemble(config, log, {
    port: () => 8_000,
    pendingRequests: () => 0,
    server: () => server,
    stateLocked: () => false,
    stateProblem: () => null,
  });
  const { membership, learning } = services.registry;
  const node = membership.register(NODE, { models: [MODEL], role: "Hybrid", speed: null });
  learning.probed(node, { kind: "ok" }, false);
  const routes = routesOf(config);
  const table = new RouteTable(routes);
  const app = createApp(routes, table, services);
  return front({
    table,
    ids: services.ids,
    origins: null,
    answer: (request) => app.fetch(request),
  });
}

/** Of `REQUESTS` requests, so many at once. */
async function cpuUs(ask: Ask): Promise<number> {
  const before = process.cpuUsage();
  let left = REQUESTS;
  const client = async () => {
    while (left > 0) {
      left -= 1;
      const response = await ask(
        new Request(URL_ASKED, { method: "POST", headers: HEADERS, body: BODY }),
      );
      const body = await response.bytes();
      if (response.status !== 200) throw new Error(Buffer.from(body).toString());
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / REQUESTS;
}

const engine = new Engine();
const around: Ask = async (request) => {
  await request.bytes();
  return engine.fetch();
};
Object.assign(Bun, { FetchSession: Engine });
const asks = [around, ...Object.values(WAYS).map(proxyOf)];
const leastUs = asks.map(() => Number.POSITIVE_INFINITY);
const rounds = Number(process.argv[2] ?? 60);
for (let round = -WARM_ROUNDS; round < rounds; round += 1) {
  // In turns, so that what else the machine does falls on all.
  for (const [at, ask] of asks.entries()) {
    const us = await cpuUs(ask);
    if (round >= 0) leastUs[at] = Math.min(leastUs[at] ?? us, us);
  }
}
const [aroundUs = 0, ...waysUs] = leastUs;
for (const [at, name] of Object.keys(WAYS).entries()) {
  console.info(`${name.padEnd(42)} ${((waysUs[at] ?? 0) - aroundUs).toFixed(1)} µs`);
}
process.exit(0);
