import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type Contestant, type Place, versionOf } from "./contestants.ts";
import { freePort } from "./host.ts";
import { CLIENT_KEY, MODEL } from "./wire.ts";

const INSTALL_TIMEOUT_MS = 300_000;
/** Tokio's threads on the one core they are pinned to would only take turns. */
const ONE_RUST_WORKER = { TOKIO_WORKER_THREADS: "1" };

interface Router {
  name: string;
  title: string;
  requirement: string;
  program: string;
  settings: string;
  env: Record<string, string>;
  exactBytes: boolean;
  healthPath?: string;
  onlyWorks?: readonly string[];
  arguments(place: Place): Promise<string[]>;
}

/** What the three Rust routers share: retries and breakers off, since nothing fails here. */
function rustArguments({ port, nodes }: Place, logLevel: string, policy = "round_robin"): string[] {
  return [
    ...["--host", "127.0.0.1", "--port", String(port)],
    ...["--worker-urls", ...nodes],
    ...["--policy", policy, "--log-level", logLevel],
    ...["--prometheus-port", String(freePort()), "--prometheus-host", "127.0.0.1"],
    ...["--disable-retries", "--disable-circuit-breaker"],
    // The default refuses or queues what 2,000 streams bring.
    ...["--max-concurrent-requests", "100000", "--queue-size", "100000"],
    ...["--max-payload-size", "536870912", "--worker-startup-timeout-secs", "30"],
    ...["--worker-startup-check-interval", "1", "--request-timeout-secs", "600"],
  ];
}

const RUST_SETTINGS =
  "round robin (no prefix tree to keep), one Tokio worker thread for the one core, no retries, no circuit breaker, no limit of concurrency that the load would reach, logs of errors only";

const VLLM_ROUTER: Router = {
  name: "vllm-router",
  title: "vllm-router",
  requirement: "vllm-router==0.1.17",
  program: "vllm-router",
  settings: RUST_SETTINGS,
  env: ONE_RUST_WORKER,
  exactBytes: true,
  arguments: async (place) => rustArguments(place, "error"),
};

const ROUTERS: readonly Router[] = [
  VLLM_ROUTER,
  {
    name: "sglang-router",
    title: "sglang-router",
    requirement: "sglang-router==0.3.2",
    program: "sglang-router",
    settings: RUST_SETTINGS,
    env: ONE_RUST_WORKER,
    exactBytes: true,
    arguments: async (place) => ["launch", ...rustArguments(place, "error")],
  },
  {
    name: "smg",
    title: "smg",
    requirement: "smg==1.13.0",
    program: "smg",
    settings: RUST_SETTINGS,
    env: ONE_RUST_WORKER,
    exactBytes: true,
    arguments: async (place) => ["launch", ...rustArguments(place, "error")],
  },
  {
    name: "litellm",
    title: "LiteLLM proxy",
    requirement: "litellm[proxy]==1.106.0",
    program: "litellm",
    settings:
      "one uvicorn worker; `LITELLM_MODE=PRODUCTION`, logs of errors only, no database, no callbacks, no retries, model prices from its own copy; simple shuffle over the nodes",
    env: {
      LITELLM_MODE: "PRODUCTION",
      LITELLM_LOG: "ERROR",
      LITELLM_LOCAL_MODEL_COST_MAP: "True",
      // It does not start without a key; clients send this one to everybody.
      LITELLM_MASTER_KEY: CLIENT_KEY,
    },
    exactBytes: false,
    healthPath: "/health/liveliness",
    // It takes a hundred times as long as the others; these tell where it stands.
    onlyWorks: ["A", "C", "D"],
    async arguments({ port, nodes, directory }) {
      const file = join(directory, "config.yaml");
      await Bun.write(file, liteLlmConfiguration(nodes));
      const at = ["--host", "127.0.0.1", "--port", String(port)];
      return ["--config", file, ...at, "--num_workers", "1", "--telemetry", "False"];
    },
  },
];

/** JSON, which every YAML reader takes. */
function liteLlmConfiguration(nodes: readonly string[]): string {
  return JSON.stringify({
    model_list: nodes.map((node) => ({
      model_name: MODEL,
      litellm_params: { model: `openai/${MODEL}`, api_base: `${node}/v1`, api_key: "none" },
    })),
    litellm_settings: { num_retries: 0, set_verbose: false, callbacks: [], request_timeout: 600 },
    router_settings: {
      routing_strategy: "simple-shuffle",
      num_retries: 0,
      disable_cooldowns: true,
    },
  });
}

/** LLM routers from PyPI, each in an environment of its own under the user's cache. */
export async function routerContestants(): Promise<Contestant[]> {
  return ROUTERS.map(asContestant);
}

/** vllm-router with one of its policies, that policy's settings as published. */
export function vllmRouter(policy: string): Contestant {
  return asContestant({
    ...VLLM_ROUTER,
    name: `vllm-router ${policy}`,
    arguments: async (place) => rustArguments(place, "error", policy),
  });
}

function asContestant(router: Router): Contestant {
  const environment = join(cacheDirectory(), router.requirement.replace(/[^\w.-]+/g, "-"));
  const program = join(environment, "bin", router.program);
  return {
    name: router.name,
    title: router.title,
    settings: router.settings,
    async version() {
      const problem = await install(environment, program, router.requirement);
      return problem ?? router.requirement;
    },
    prepare: async (place) => ({
      command: [program, ...(await router.arguments(place))],
      env: router.env,
    }),
    exactBytes: router.exactBytes,
    watchesNodes: false,
    ...(router.healthPath ? { healthPath: router.healthPath } : {}),
    ...(router.onlyWorks ? { onlyWorks: router.onlyWorks } : {}),
    startTimeoutMs: 90_000,
  };
}

function cacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "lmproxy-bench");
}

/** Installs once, pinned; returns why not. */
async function install(
  environment: string,
  program: string,
  requirement: string,
): Promise<Error | null> {
  if (existsSync(program)) return null;
  const python = await versionOf(["python3", "--version"]);
  if (python instanceof Error) return python;
  console.error(`installing ${requirement} into ${environment}`);
  const steps = [
    ["python3", "-m", "venv", environment],
    [
      join(environment, "bin/pip"),
      "install",
      "--quiet",
      "--disable-pip-version-check",
      requirement,
    ],
  ];
  for (const step of steps) {
    const child = Bun.spawn(step, {
      stdout: "ignore",
      stderr: "pipe",
      timeout: INSTALL_TIMEOUT_MS,
    });
    const said = await child.stderr.text();
    if ((await child.exited) !== 0) {
      const why = said.trim().split("\n").at(-1) ?? "";
      return new Error(`${requirement} could not be installed: ${why}`);
    }
  }
  return existsSync(program) ? null : new Error(`${requirement} brings no ${program}`);
}
