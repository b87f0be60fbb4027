/** A proxy with engines and clients, on which a fault is planted. */
import { startEngine } from "../../src/sim/server/api-server.ts";
import type { EngineOptions, RunningEngine } from "../../src/sim/server/engine-options.ts";
import { freePort } from "../../test/support/free-port.ts";
import { type ProxyProcess, startProxy } from "../../test/support/proxy.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";

export interface Scenario {
  readonly name: string;
  readonly engines: number;
  readonly engine?: Partial<EngineOptions>;
  readonly flags?: readonly string[];
  /** What runs `bun src/main.ts`, before it. */
  readonly wrapper?: readonly string[];
  /** Requests a second. */
  readonly load: number;
  /** Alerts that have to fire. */
  readonly fires: readonly string[];
  /** Alerts that may fire too. */
  readonly may?: readonly string[];
  /** There is nothing to plant: it is so from the beginning. */
  readonly isPlanted?: boolean;
  plant?(stage: Stage): void | Promise<void>;
}

export interface Stage {
  readonly scenario: Scenario;
  readonly proxy: ProxyProcess;
  readonly engines: readonly RunningEngine[];
  /** Where its metrics are. */
  readonly target: string;
  /** One chat; never rejects. */
  ask(body?: object): Promise<void>;
  /** Does it again and again until the end. */
  every(ms: number, act: () => unknown): void;
  /** To be called at the end. */
  readonly ends: (() => unknown)[];
}

const MODEL = "m";

export async function setUp(scenario: Scenario): Promise<Stage> {
  const { engine, flags = [], wrapper } = scenario;
  const engines = await Promise.all(
    Array.from({ length: scenario.engines }, () =>
      startEngine({ port: 0, models: [MODEL], healthIntervalMs: 0, ...engine }),
    ),
  );
  const port = freePort();
  const proxy = await startProxy(
    [
      ...engines.flatMap(({ url }) => ["--node", url]),
      ...["--metrics-port", String(port), "--health-interval", "0.2", ...flags],
    ],
    wrapper === undefined ? {} : { command: [...wrapper, process.execPath, "src/main.ts"] },
  );
  // One that speaks TLS is only looked at.
  if (scenario.engines > 0) await untilHealthy(proxy, scenario.engines);
  const ends: (() => unknown)[] = [
    () => proxy.process.kill("SIGCONT"),
    () => proxy.end("SIGKILL"),
    () => Promise.all(engines.map((one) => one.stop(true))),
  ];
  const every = (ms: number, act: () => unknown) => {
    const timer = setInterval(act, ms);
    ends.unshift(() => clearInterval(timer));
  };
  const ask = (body: object = {}) => chat(proxy.url, body);
  if (scenario.load > 0) every(1_000 / scenario.load, () => void ask());
  return { scenario, proxy, engines, target: `127.0.0.1:${port}`, ask, every, ends };
}

async function chat(url: string, body: object): Promise<void> {
  try {
    const messages = [{ role: "user", content: "Tell me." }];
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: MODEL, messages, max_tokens: 8, ...body }),
    });
    await answer.bytes();
  } catch {
    // Clients meet the fault as well.
  }
}
