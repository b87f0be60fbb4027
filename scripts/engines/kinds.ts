/** The engines that run without a GPU: how each is installed and started, and what it can do. */
import { join } from "node:path";
import { install, program } from "./install.ts";

export interface EngineOptions {
  /** Clients must send this key. */
  readonly apiKey?: string;
  /** LMDeploy only: role, the proxy to register with, and how prefill answers name their session. */
  readonly role?: "Prefill" | "Decode";
  readonly proxyUrl?: string;
  readonly ids?: "released" | "number" | "field";
  /** llama.cpp only: it gives its memory up when nothing has been asked for so long, s. */
  readonly sleepAfterS?: number;
  /** vLLM only: it may load LoRA adapters, and has these from the start, NAME=FOLDER each. */
  readonly adapters?: readonly string[];
}

export interface Command {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What is done to one of two engines; docs/engines.md says each in words. */
export type Fault =
  | "kill"
  | "kill-core"
  | "terminate"
  | "stop"
  | "stop-core"
  | "sleep"
  | "break"
  | "other-key";

export interface Kind {
  readonly name: "lmdeploy" | "llama" | "vllm";
  readonly title: string;
  /** Requests that run at once on one engine; more wait inside it. */
  readonly places: number;
  /** How often it may be asked what it works on, ms. */
  readonly pollMs: number;
  readonly startLimitMs: number;
  /** Time between two requests of the load under which one of two engines fails, ms. */
  readonly requestEveryMs: number;
  readonly faults: readonly Fault[];
  /** How the process that computes is called, where it is one of its own. */
  readonly core?: string;
  install(cache: string): Promise<string>;
  command(folder: string, port: number, options: EngineOptions): Command;
}

const PLACES = 4;

const lmdeploy: Kind = {
  name: "lmdeploy",
  title: "LMDeploy 0.18.0 (its server and AsyncEngine; the engine below is a stand-in)",
  places: 8,
  pollMs: 20,
  startLimitMs: 60_000,
  requestEveryMs: 300,
  faults: ["kill", "terminate", "stop", "sleep", "break", "other-key"],
  install: (cache) => install(cache, "lmdeploy", () => null),
  command: (folder, port, { apiKey, role, proxyUrl, ids }) => ({
    argv: [
      ...[join(folder, "bin/python"), program("lmdeploy_engine.py"), String(port)],
      join(folder, "tiny"),
      ...(role === undefined ? [] : ["--role", role]),
      ...(apiKey === undefined ? [] : ["--api-key", apiKey]),
      ...(proxyUrl === undefined ? [] : ["--proxy-url", proxyUrl]),
      ...(ids === undefined ? [] : ["--ids", ids]),
    ],
    env: {},
  }),
};

const llama: Kind = {
  name: "llama",
  title: "llama.cpp b11549 (xllamacpp 2026.10.11549)",
  places: PLACES,
  // It looks for a client that left only when no result came for a second, and a page of metrics is one.
  pollMs: 1_500,
  startLimitMs: 30_000,
  requestEveryMs: 300,
  faults: ["kill", "stop", "other-key"],
  install: (cache) =>
    install(cache, "llama", (folder) => [
      ...[program("tiny_model.py"), "gguf", join(folder, "tiny.gguf"), "64"],
    ]),
  command: (folder, port, { apiKey, sleepAfterS }) => ({
    argv: [
      ...[join(folder, "bin/python"), program("llama_server.py"), join(folder, "tiny.gguf")],
      ...[String(port), `n_parallel=${PLACES}`, `n_ctx=${PLACES * 4_096}`],
      ...["endpoint_metrics=true", "model_alias=tiny"],
      ...(apiKey === undefined ? [] : [`api_keys=${apiKey}`]),
      ...(sleepAfterS === undefined ? [] : [`sleep_idle_seconds=${sleepAfterS}`]),
    ],
    env: {},
  }),
};

const vllm: Kind = {
  name: "vllm",
  title: "vLLM 0.32.0 on CPU",
  places: PLACES,
  pollMs: 20,
  startLimitMs: 300_000,
  requestEveryMs: 800,
  faults: ["kill", "kill-core", "terminate", "stop", "stop-core", "sleep", "other-key"],
  core: "EngineCore",
  install: (cache) =>
    install(cache, "vllm", (folder) => [
      ...[program("tiny_model.py"), "hf", join(folder, "tiny"), "12"],
    ]),
  command: (folder, port, { apiKey, adapters }) => ({
    argv: [
      ...[join(folder, "bin/python"), "-m", "vllm.entrypoints.openai.api_server"],
      ...["--model", join(folder, "tiny"), "--served-model-name", "tiny"],
      ...["--host", "127.0.0.1", "--port", String(port), "--max-model-len", "4096"],
      ...["--dtype", "float32", "--enforce-eager", "--max-num-seqs", String(PLACES)],
      ...["--block-size", "32", "--num-gpu-blocks-override", "1024"],
      ...["--distributed-executor-backend", "uni"],
      ...(apiKey === undefined ? [] : ["--api-key", apiKey]),
      ...(adapters === undefined ? [] : ["--enable-lora", "--max-loras", "2"]),
      ...(adapters?.length ? ["--lora-modules", ...adapters] : []),
    ],
    env: {
      VLLM_CPU_KVCACHE_SPACE: "1",
      VLLM_CPU_OMP_THREADS_BIND: "nobind",
      OMP_NUM_THREADS: "1",
      HF_HUB_OFFLINE: "1",
      VLLM_NO_USAGE_STATS: "1",
      VLLM_ALLOW_RUNTIME_LORA_UPDATING: "1",
      // Opens /sleep and /wake_up.
      VLLM_SERVER_DEV_MODE: "1",
    },
  }),
};

export const KINDS: readonly Kind[] = [lmdeploy, llama, vllm];
