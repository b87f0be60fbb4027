/** `lmproxy demo`: simulated engines behind a proxy, an answer, and a dozen while one of them dies. */
import { type Static, Type } from "@sinclair/typebox";
import { Command } from "commander";
import { flagGroup } from "../config/flag.ts";
import * as kinds from "../config/kinds.ts";
import type { Environment } from "../config/resolve.ts";
import { Child } from "./child.ts";
import { type Run, readArguments, type Surroundings } from "./command.ts";
import { CommandError } from "./command-error.ts";
import { curlFor, streamChat, wholeChat } from "./demo-chat.ts";
import { nodeTable } from "./node-table.ts";
import { claimPort } from "./port.ts";
import { ProxyClient } from "./proxy-client.ts";
import { untilSignal } from "./signals.ts";

/** As in the README's `curl` and the examples at /docs, so that they can be tried here. */
const MODEL = "internlm2-chat-7b";
const PROMPTS = {
  hybrid: "How does a proxy choose among three engines?",
  distServe: "How do two engines make one answer?",
};

/** Requests at once, and how long an answer is: some 0.7 s, so that the engine dies in their middle. */
const DOZEN = 12;
const DOZEN_TOKENS = 80;
const KILL_AFTER_MS = 300;

/** How long the proxy or the engines may take to come up, ms, and the pause between two looks. */
const START_TIMEOUT_MS = 30_000;
const START_POLL_MS = 50;

const Port = { minimum: 0, maximum: 65535 };
const Settings = Type.Object({
  host: Type.String({ pattern: "^[^\\s/\\[\\]]+$", default: "127.0.0.1" }),
  port: Type.Integer({ ...Port, default: 8000 }),
  enginePort: Type.Integer({ ...Port, default: 23333 }),
  once: Type.Boolean({ default: false }),
  distserve: Type.Boolean({ default: false }),
});
type Settings = Static<typeof Settings>;
const { properties: fields } = Settings;

const FLAGS = flagGroup("Demo", [
  {
    key: "port",
    names: ["port"],
    argument: "number",
    kind: kinds.port,
    value: fields.port,
    help: "Port of the proxy; 0 picks a free one.",
  },
  {
    key: "enginePort",
    names: ["engine-port"],
    argument: "number",
    kind: kinds.port,
    value: fields.enginePort,
    help: "Port of the first engine, the others take the next ones; 0 picks free ones.",
  },
  {
    key: "host",
    names: ["host"],
    argument: "address",
    kind: kinds.bindAddress,
    value: fields.host,
    help: "Address that all of them listen on.",
  },
  {
    key: "once",
    names: ["once"],
    value: fields.once,
    help: "End after the answer, instead of with Ctrl-C.",
  },
  {
    key: "distserve",
    names: ["distserve"],
    value: fields.distserve,
    help: "Two prefill and two decode engines instead of three that do both.",
  },
]);

export const run: Run = async (argv, surroundings) => {
  const command = new Command("lmproxy demo").description(
    "Start simulated engines and a proxy, kill one of them under load, and go on until Ctrl-C.",
  );
  const line = await readArguments(command, FLAGS, Settings, argv, surroundings, "LMPROXY_DEMO_");
  if (line === null) return 0;
  const signal = untilSignal();
  const demo = new Demo(line.values, surroundings);
  try {
    await Promise.race([demo.play(), signal]);
    if (!line.values.once) await Promise.race([demo.failure(), signal]);
  } finally {
    await demo.stop();
  }
  return 0;
};

interface DemoEngine {
  readonly name: string;
  readonly role: string;
  readonly port: number;
  readonly url: string;
}

class Demo {
  readonly #settings: Settings;
  readonly #surroundings: Surroundings;
  #proxy: Child | null = null;
  /** By name; one that is started again takes the place of the one that was. */
  readonly #engines = new Map<string, Child>();

  constructor(settings: Settings, surroundings: Surroundings) {
    this.#settings = settings;
    this.#surroundings = surroundings;
  }

  /** @throws CommandError when a port is taken, or something does not come up or ends early */
  async play(): Promise<void> {
    const { print } = this.#surroundings;
    const { host, port: wanted } = this.#settings;
    const proxyPort = claimPort(host, { what: "proxy", flag: "--port", port: wanted });
    const engines = this.#claimEngines();
    const url = `http://${connectable(host)}:${proxyPort}`;
    await print(`proxy     ${url}\n`);
    this.#proxy = this.#child("proxy", proxyArgs(this.#settings, proxyPort));
    await this.#until("the proxy", () => isUp(url));
    const client = new ProxyClient(url, null);
    for (const engine of engines) {
      await print(`${engine.name}  ${engine.url}  ${engine.role}\n`);
      this.#startEngine(engine, url);
    }
    await this.#untilHealthy(client, engines.length);
    const prompt = this.#settings.distserve ? PROMPTS.distServe : PROMPTS.hybrid;
    await print(`\n> ${prompt}\n`);
    for await (const piece of streamChat(url, MODEL, prompt)) await print(piece);
    await print("\n\n");
    // The last one decodes, where roles are apart.
    const victim = engines[this.#settings.distserve ? engines.length - 1 : 1];
    if (victim !== undefined) await this.#killUnderLoad(victim, url, client);
    await print(
      `page    ${url}/\ndocs    ${url}/docs\nAPI     ${url}/v1\nnodes   ${url}/nodes/status\n`,
    );
    await print(`\n${curlFor(url, MODEL)}\n`);
    if (!this.#settings.once) await print("\nCtrl-C stops all of it.\n");
  }

  /** A dozen requests, and in their middle the end of one engine; afterwards it is started again. */
  async #killUnderLoad(victim: DemoEngine, url: string, client: ProxyClient): Promise<void> {
    const { print } = this.#surroundings;
    const { name } = victim;
    await print(`A dozen requests at once, and ${name} is killed while it has some of them:\n`);
    const startedMs = performance.now();
    let answered = 0;
    const answers = Array.from({ length: DOZEN }, async (_, i) => {
      await wholeChat(url, MODEL, `Question ${i + 1} of ${DOZEN}`, DOZEN_TOKENS);
      answered += 1;
      const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
      await print(`  answer ${String(answered).padStart(2)} of ${DOZEN} after ${seconds} s\n`);
    });
    const all = Promise.all(answers);
    await Promise.race([all, Bun.sleep(KILL_AFTER_MS)]);
    const had = (await client.status())[victim.url]?.unfinished ?? 0;
    await this.#engines.get(name)?.kill();
    await print(`  ${name} is killed, with ${had} of them in its hands\n`);
    await all;
    await print(`Nothing was lost: ${answered} of ${DOZEN} answered.\n\n`);
    await print(`${nodeTable(await client.status())}\n`);
    this.#startEngine(victim, url);
    const count = Object.keys(await client.status()).length;
    await this.#untilHealthy(client, count);
    await print(`${name} is started again, and takes part.\n\n`);
  }

  /** Rejects when one of the processes ends by itself. */
  failure(): Promise<never> {
    return Promise.race(this.#children().map((child) => child.ended));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#children().map((child) => child.stop()));
  }

  #claimEngines(): readonly DemoEngine[] {
    const { host, enginePort, distserve } = this.#settings;
    const roles = distserve
      ? ["Prefill", "Prefill", "Decode", "Decode"]
      : ["Hybrid", "Hybrid", "Hybrid"];
    return roles.map((role, index) => {
      const name = `engine ${index + 1}`;
      const port = enginePort === 0 ? 0 : enginePort + index;
      const claimed = claimPort(host, { what: name, flag: "--engine-port", port });
      return { name, role, port: claimed, url: `http://${connectable(host)}:${claimed}` };
    });
  }

  #startEngine({ name, role, port }: DemoEngine, proxyUrl: string): void {
    const { host, distserve } = this.#settings;
    const args = [
      ...["engine", "--model", MODEL, "--role", role, "--host", host],
      // The last release with which DistServe works on both endpoints.
      ...(distserve ? ["--release", "0.11"] : []),
      ...["--port", String(port), "--proxy-url", proxyUrl],
    ];
    this.#engines.set(name, this.#child(name, args));
  }

  #child(name: string, args: readonly string[]): Child {
    return new Child(name, args, plainEnvironment(this.#surroundings.env));
  }

  #children(): readonly Child[] {
    return [...(this.#proxy === null ? [] : [this.#proxy]), ...this.#engines.values()];
  }

  async #untilHealthy(client: ProxyClient, count: number): Promise<void> {
    await this.#until("the engines", async () => {
      const states = Object.values(await client.status()).map(({ state }) => state);
      return states.filter((state) => state === "healthy").length === count;
    });
  }

  async #until(what: string, isReady: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await Promise.race([isReady(), this.failure()]))) {
      if (performance.now() > deadline) {
        throw new CommandError(`${what} did not come up within ${START_TIMEOUT_MS / 1000} s`);
      }
      await Bun.sleep(START_POLL_MS);
    }
  }
}

function proxyArgs({ host, distserve }: Settings, port: number): readonly string[] {
  return [
    ...["serve", "--host", host, "--port", String(port), "--strategy", "min_cache_usage"],
    ...["--disable-cache-status", "--metrics-interval", "1", "--log-level", "warning"],
    ...(distserve ? ["--serving-strategy", "DistServe"] : []),
  ];
}

async function isUp(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`)).ok;
  } catch {
    return false;
  }
}

/** An address to connect to, where `host` may be one that only binds. */
function connectable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

/** The demo shows the defaults: what configures the user's own proxy is left out. */
function plainEnvironment(env: Environment): Record<string, string> {
  const foreign = /^(?:LMPROXY_|LMDEPLOY_|AIOHTTP_TIMEOUT$)/i;
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !foreign.test(name)) plain[name] = value;
  }
  return plain;
}
