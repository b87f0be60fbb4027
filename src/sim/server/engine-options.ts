/**
 * The simulated engine's interface: how it is started, looked into and made to misbehave.
 *
 * `startEngine` in `sim/server/api-server.ts` takes these options. Everything but `models` has a
 * default; the defaults make a small, quick and deterministic LMDeploy 0.18.0.
 */
import type { EngineKind } from "../../core/engine/kinds.ts";
import type { Role } from "../../core/engine/roles.ts";
import type { EngineParams } from "../model/engine-params.ts";
import type { Voice } from "./answer-text.ts";
import type { FaultRule } from "./faults.ts";
import type { PrefillIdStyle, Release } from "./release.ts";

/** What `/health` says. `empty` is the older engines' 200 with no body, which means healthy. */
export type EngineHealth = "healthy" | "sleeping" | "initializing" | "unhealthy" | "empty";

export interface EngineOptions {
  /** Served model names, at least one; the first is the engine's own name in `/metrics`. */
  readonly models: readonly string[];
  /** Address to bind. Default `127.0.0.1`. */
  readonly host?: string;
  /** Port to bind; 0 (the default) takes a free one. */
  readonly port?: number;
  /**
   * The URL under which others reach this engine, sent when it registers and used as its DistServe
   * engine id. Default: `http://` + host + `:` + port.
   */
  readonly advertisedUrl?: string;
  /** Default `Hybrid`. */
  readonly role?: Role;
  /** Proxies to register with, in turn, before the engine listens. Default none. */
  readonly proxyUrls?: readonly string[];
  /** Relative capability sent when registering; `null` is sent as null. Left out by default. */
  readonly speed?: number | null;
  /** Seed of answer lengths, tie breaks and fault draws. Default 1. */
  readonly seed?: number;
  /**
   * Factor on all times of the model: 1 is real time, 0.1 ten times as fast, 0 (the default) as
   * fast as the machine can.
   */
  readonly timeScale?: number;
  /** Monotonic clock, ms. Default `performance.now`. */
  readonly now?: () => number;
  /** Uniform draws in [0, 1). Default a generator made from `seed`. */
  readonly random?: () => number;
  /** Figures of the modelled GPU; what is left out comes from `DEFAULT_ENGINE_PARAMS`. */
  readonly params?: Partial<EngineParams>;
  /** Tokens of an answer whose request sets no limit, drawn evenly from this range. Default 16 to 64. */
  readonly answerTokens?: { readonly min: number; readonly max: number };
  /** Default `lmdeploy`. */
  readonly kind?: EngineKind;
  /** `false`: no `/metrics` (404), as an engine started without metrics. Default `true`. */
  readonly metrics?: boolean;
  /** Number of DP ranks, one series each in `/metrics`. Default 1. */
  readonly ranks?: number;
  /**
   * How old the gauges in `/metrics` may get before they are taken anew, ms of real time, however
   * often they are read. Default: LMDeploy's own 10,000 times `timeScale`; 0, always fresh, for others.
   */
  readonly metricsRefreshMs?: number;
  /**
   * How often `/health` looks at what `/sleep` and `/wakeup` have done, ms of real time. Default:
   * LMDeploy's own 12,000 times `timeScale`; 0, at once, for others.
   */
  readonly healthIntervalMs?: number;
  /** How long `/health` takes, ms of real time. Default: SGLang's own 1,000 times `timeScale`; else 0. */
  readonly healthDelayMs?: number;
  /** Which of LMDeploy's releases it behaves like. Default `0.18`; other kinds take no notice. */
  readonly release?: Release;
  /** What its made-up answers consist of. Default `sentences`. */
  readonly voice?: Voice;
  /** Whether POST `/abort_request` works (else 501), as with `--enable-abort-handling`. Default `false`. */
  readonly abortHandling?: boolean;
  /** Default `healthy`. */
  readonly health?: EngineHealth;
  /** `Authorization: Bearer` key that everything but `/health` and `/debug` asks for. Default none. */
  readonly apiKey?: string;
  /** Whether GET `/terminate` stops the engine (else 400). Default `false`. */
  readonly allowTerminate?: boolean;
  /** Called once `/terminate` has stopped the engine; the command ends its process here. */
  readonly onTerminate?: () => void;
  /** What the engine did that an operator would read, one line each. Default: nowhere. */
  readonly log?: (line: string) => void;
  /** Fault rules in force from the start. Default none. */
  readonly faults?: readonly FaultRule[];
  /** Requests remembered in `EngineDebugState.lastRequests`. Default 50. */
  readonly rememberedRequests?: number;
  /** Tensor-parallel size in `/distserve/engine_info`. Default 1. */
  readonly tpSize?: number;
  /** Default: the release's own. */
  readonly prefillIds?: PrefillIdStyle;
  /**
   * Refuse DistServe's body fields with 400 unless `x-lmdeploy-distserve-proxy: 1` comes with them,
   * as engines to come do. Default: as the release does.
   */
  readonly needsProxyHeader?: boolean;
}

/** One request as it arrived, for tests that look for leaked keys or changed bytes. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What GET `/debug/state` answers and `RunningEngine.state()` returns. Counts since the start. */
export interface EngineDebugState {
  readonly url: string;
  readonly role: Role;
  readonly models: readonly string[];
  readonly health: EngineHealth;
  /** Inference requests that arrived and whose answer has not ended. */
  readonly openRequests: number;
  /** Sequences in the batch. */
  readonly running: number;
  /** Sequences that wait for admission. */
  readonly waiting: number;
  readonly totalBlocks: number;
  /** Blocks referenced by a sequence or a preserved session. */
  readonly usedBlocks: number;
  /** Blocks that only the prefix cache still holds. */
  readonly cachedBlocks: number;
  /** (used + cached) / total, 0 to 1: what `/metrics` says of LMDeploy to 0.17. */
  readonly usage: number;
  /** Prefills whose blocks are kept for a decode engine. */
  readonly preservedSessions: number;
  readonly preservedBlocks: number;
  /** Engine ids this engine is connected with (DistServe). */
  readonly connectedPeers: readonly string[];
  /** Inference requests that arrived, refused ones too. */
  readonly totalRequests: number;
  readonly completedRequests: number;
  /** Ended because the client left. */
  readonly cancelledRequests: number;
  /** Answered with an error by the engine itself or by a fault. */
  readonly failedRequests: number;
  /** Requests of every kind by path; from the 200th path on together, as `other`. */
  readonly requestsByPath: Readonly<Record<string, number>>;
  /** Connections accepted. */
  readonly connections: number;
  /** The newest POST requests, oldest first. */
  readonly lastRequests: readonly SeenRequest[];
  /** Base64 of the last POST body, byte for byte. */
  readonly lastBodyBase64: string;
}

export interface RunningEngine {
  /** The advertised URL, without a trailing slash. */
  readonly url: string;
  readonly port: number;
  state(): EngineDebugState;
  /** Puts these rules in place of all earlier ones; `[]` ends all faults. */
  setFaults(rules: readonly FaultRule[]): void;
  /** Changes what `/health` says; `sleeping` also refuses inference with 503. */
  setHealth(health: EngineHealth): void;
  /**
   * Makes it that much faster than it should be: 0.1 is ten times slower; with 0 it hangs behind a
   * healthy `/health`, taking requests and giving no word, its gauges as they last were.
   */
  setPace(factor: number): void;
  /** Ends the process that computes, and not the one that answers: `/health` says 503, requests fail. */
  die(): void;
  /** Changes the served models, as loading or unloading an adapter does. */
  setModels(models: readonly string[]): void;
  /**
   * Ends as after SIGTERM: uvicorn takes nothing new and finishes what runs; SGLang says 503 on
   * `/health` and goes on answering until nothing runs; llama.cpp just ends.
   */
  drain(): Promise<void>;
  /**
   * Stops listening. Without `force` answers under way may finish first; with it every connection
   * is cut, as when the process dies.
   */
  stop(force?: boolean): Promise<void>;
}
