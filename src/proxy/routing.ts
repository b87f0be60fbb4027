import type { Config } from "../config/serve-config.ts";
import { LEAST_BLOCK_BYTES } from "../core/body/prompt-blocks.ts";
import { promptReader, type ReadPrompt } from "../core/body/prompt-reader.ts";
import { sessionId } from "../core/body/session-key.ts";
import type { Role } from "../core/engine/roles.ts";
import { neededBy } from "../core/knowledge/needed.ts";
import type { PromptKnowledge } from "../core/knowledge/prompt-knowledge.ts";
import type { KeptSessions } from "../core/knowledge/sessions.ts";
import type { Elsewhere } from "../core/pool/elsewhere.ts";
import { Registry, type RegistryOptions } from "../core/pool/registry.ts";
import { STRATEGIES, type StrategyName, withSessions } from "../core/strategies/index.ts";
import type { Need, Strategy } from "../core/strategies/strategy.ts";

/** The nodes, and what has to be read of requests to choose among them. */
export interface Routing {
  readonly registry: Registry;
  readonly readPrompt: ReadPrompt;
  /** What it knows of prompts; null where no strategy in force needs that. */
  readonly prompts: PromptKnowledge | null;
  /** A client says that its session has ended. */
  readonly finishSession: (name: string) => void;
}

interface Around extends Pick<RegistryOptions, "now" | "random" | "onListenerError"> {
  /** Null where there is but one process. */
  readonly share: {
    readonly elsewhere: Elsewhere;
    /** Null: this process keeps its own. */
    readonly sessions: KeptSessions | null;
  } | null;
}

/** The name of the strategy that chooses among nodes of a role. */
export function strategyOf(
  role: Role,
  { strategy, prefillStrategy, decodeStrategy }: Config,
): StrategyName {
  const own = { Hybrid: null, Prefill: prefillStrategy, Decode: decodeStrategy }[role];
  return own ?? strategy;
}

/** What the strategies in force need is learned; what none of them needs costs nothing. */
export function createRouting(config: Config, { share, ...around }: Around): Routing {
  const named = (role: Role): Strategy => {
    const name = strategyOf(role, config);
    return config.sticky ? withSessions(name) : STRATEGIES[name];
  };
  const byRole: Readonly<Record<Role, Strategy>> = {
    Hybrid: named("Hybrid"),
    Prefill: named("Prefill"),
    Decode: named("Decode"),
  };
  const inForce =
    config.servingStrategy === "Hybrid" ? [byRole.Hybrid] : [byRole.Prefill, byRole.Decode];
  const needs = new Set<Need>(inForce.flatMap((one) => one.needs ?? []));
  const { knowledge, prompts, sessions } = neededBy(
    needs,
    around.now,
    config.sessionTimeoutMs,
    share?.sessions,
  );
  const registry = new Registry({
    ...around,
    ...(share === null ? {} : { elsewhere: share.elsewhere }),
    strategy: (role) => byRole[role],
    knowledge,
    sampleMaxAgeMs: 3 * config.metricsIntervalMs,
    maxInFlightPerNode: config.maxConcurrencyPerNode ?? Number.POSITIVE_INFINITY,
  });
  return {
    registry,
    prompts,
    readPrompt: promptReader(needs, config.sessionHeaders, hash),
    finishSession: (name) => sessions?.finish(sessionId(name.trim(), hash)),
  };
}

/** Whether the strategies in force keep sessions on their nodes, in Hybrid mode. */
export function keepsSessions({ sticky, strategy }: Config): boolean {
  const { needs } = sticky ? withSessions(strategy) : STRATEGIES[strategy];
  return needs?.includes("session") === true;
}

/** A block of the least length: copied there, it needs no view of its own, of which a prompt of 8 KiB has 32. */
const block = new Uint8Array(LEAST_BLOCK_BYTES);

/**
 * CRC-32: of 64-bit hashes a prompt of 8 KiB takes as long again, for the bigints that they take and give. In long
 * blocks it is as fast, and in plain JavaScript none is.
 */
export function hash(bytes: Uint8Array, seed: number, from = 0, to = bytes.length): number {
  if (to - from === block.length) {
    Buffer.prototype.copy.call(bytes, block, 0, from, to);
    return Bun.hash.crc32(block, seed);
  }
  const isWhole = from === 0 && to === bytes.length;
  return Bun.hash.crc32(isWhole ? bytes : bytes.subarray(from, to), seed);
}
