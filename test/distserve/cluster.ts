/** A DistServe proxy and simulated engines, and how tests look at both. */

import type { Role } from "../../src/core/engine/roles.ts";
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { EngineOptions, RunningEngine } from "../../src/sim/server/engine-options.ts";
import { freePort } from "../support/free-port.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

export const MODEL = "m";

export interface ClusterOptions {
  readonly prefills?: number;
  readonly decodes?: number;
  readonly flags?: readonly string[];
  /** For all engines; without the prefix cache, blocks in use are blocks of a request or a leak. */
  readonly engine?: Partial<EngineOptions>;
}

export interface Cluster extends AsyncDisposable {
  readonly proxy: ProxyProcess;
  readonly prefills: RunningEngine[];
  readonly decodes: RunningEngine[];
  chat(body?: object, init?: RequestInit): Promise<Response>;
  /** Resolves when nothing runs and no block is kept any more, here or there. */
  quiet(): Promise<void>;
}

/** Starts engines that register themselves, and resolves when all pairs are connected. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { prefills: prefillCount = 1, decodes: decodeCount = 1, flags = [] } = options;
  const proxy = await startProxy(["--serving-strategy", "DistServe", ...flags]);
  const start = (role: Role) => startRole(role, proxy, options.engine);
  const prefills = await Promise.all(Array.from({ length: prefillCount }, () => start("Prefill")));
  const decodes = await Promise.all(Array.from({ length: decodeCount }, () => start("Decode")));
  const isCold = flags.includes("--no-warmup") || flags.includes("--dummy-prefill");
  await until("the nodes are up", async () => {
    const statuses = await proxy.status();
    const isUp = (engines: RunningEngine[], pairs: number) =>
      engines.every(({ url }) => {
        const status = statuses[url];
        return status?.state === "healthy" && (isCold || status.pairs === pairs);
      });
    return isUp(prefills, decodeCount) && isUp(decodes, prefillCount);
  });
  return {
    proxy,
    prefills,
    decodes,
    chat: (body = {}, init = {}) => chat(proxy.url, body, init),
    quiet: () => quiet(proxy, [...prefills, ...decodes]),
    async [Symbol.asyncDispose]() {
      await proxy.end("SIGKILL");
      await Promise.all([...prefills, ...decodes].map((engine) => engine.stop(true)));
    },
  };
}

export function startRole(
  role: Role,
  proxy: ProxyProcess | null,
  options: Partial<EngineOptions> = {},
): Promise<RunningEngine> {
  const proxyUrls = proxy === null ? [] : [proxy.url];
  const params = { prefixCache: false, ...options.params };
  // The last release that names sessions on both endpoints.
  // A port that it gets again when it is started anew.
  const port = freePort();
  return startEngine({
    models: [MODEL],
    role,
    proxyUrls,
    port,
    release: "0.11",
    ...options,
    params,
  });
}

export function chat(url: string, body: object = {}, init: RequestInit = {}): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: MODEL, messages: "Tell me.", max_tokens: 8, ...body }),
    ...init,
  });
}

/** Not only there: one whose blocks are still to be fetched is not lost with its engine, but without them. */
export async function untilDecoded({ decodes }: Cluster, requests = 1): Promise<void> {
  const { state } = only(decodes);
  await until("all are decoded", () => state().running + state().waiting === requests);
}

export async function quiet(proxy: ProxyProcess, engines: readonly RunningEngine[]): Promise<void> {
  await until("nothing runs", async () =>
    Object.values(await proxy.status()).every(
      ({ unfinished, open_sessions }) => unfinished === 0 && open_sessions === 0,
    ),
  );
  await until("no engine keeps anything", () =>
    engines.every((engine) => {
      const { openRequests, preservedSessions, usedBlocks } = engine.state();
      return openRequests === 0 && preservedSessions === 0 && usedBlocks === 0;
    }),
  );
}

/** The text of an error in OpenAI's envelope. */
export async function messageOf(answer: Response): Promise<string> {
  const body: unknown = await answer.json();
  return JSON.stringify(body);
}

export function only<T>(list: readonly T[]): T {
  const [first] = list;
  if (first === undefined) throw new Error("there is none");
  return first;
}

/** Requests that one engine got at a path. */
export function count(cluster: Cluster, role: "prefills" | "decodes", path: string): number {
  return cluster[role]
    .map((engine) => engine.state().requestsByPath[path] ?? 0)
    .reduce((sum, one) => sum + one, 0);
}
