import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { Signal } from "../core/signal.ts";
import { DROPPED } from "./pair.ts";
import type { Pairs } from "./pairs.ts";
import type { FailedPair } from "./refusals.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** Whether a node is there, or about to be, of which a place may be had. */
export function isWorthWaiting(none: unknown): none is "full" | "starting" | "returning" {
  return none === "full" || none === "starting" || none === "returning";
}

/** Whether no engine is left but, maybe, one that has yet to come up: whatever was tried is of use then. */
export function isNobodyThere(next: unknown): boolean {
  return next === "unavailable" || next === "starting" || next === "returning";
}

interface Waits {
  /** How long a request waits for a connection when no pair is left, ms. */
  readonly pairWaitMs: number;
  /** Monotonic clock, ms. */
  readonly now: () => number;
}

/** How long one request goes on waiting for engines to come back, all its waits together. */
export class Patience {
  #untilMs: number | null = null;

  /** What is left, ms; the time begins when this is first asked. */
  leftMs({ pairWaitMs, now }: Waits): number {
    this.#untilMs ??= now() + pairWaitMs;
    return this.#untilMs - now();
  }
}

export interface Heard {
  /** Whether no other node may be asked instead. */
  readonly isOnly: (node: Node) => boolean;
  readonly limitMs: number;
  readonly registry: Pick<Registry, "get" | "subscribe">;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** What ends the wait: it rejects with the reason of the first that is aborted, and holds nothing any more. */
  readonly signals: readonly Signal[];
}

/**
 * A request was lost on `node`: resolves when a probe passes there, or another node may be asked, to whether it
 * was out until then; to null when neither comes in time, or the node is removed. What is still dying would lose the request again.
 */
export async function untilHeard(node: Node, heard: Heard): Promise<boolean | null> {
  const { isOnly, limitMs, registry, after, signals } = heard;
  // One that is out on trial has passed a probe, and loses requests all the same.
  let wasOut = node.health.state !== "healthy" && node.health.doubt === null;
  const { promise, resolve } = Promise.withResolvers<boolean | null>();
  const stop = after(limitMs, () => resolve(null));
  const unsubscribe = registry.subscribe({
    stateChanged: (one, _from, to) => {
      if (one === node && to !== "healthy" && node.health.doubt === null) wasOut = true;
      if (to === "healthy" && (one === node || !isOnly(node))) resolve(wasOut);
    },
    nodeRemoved: (one) => {
      if (one === node) resolve(null);
    },
    said: (word) => {
      const isWell = word.found === "probed" && word.result.kind === "ok";
      // Of one on parole nothing tells that its trial is over, and it may be asked.
      if (isWell && (word.node === node || !isOnly(node))) resolve(wasOut);
    },
  });
  if (registry.get(node.url) !== node) resolve(null);
  try {
    return await unlessAborted(promise, signals);
  } finally {
    stop();
    unsubscribe();
  }
}

/** Whether the pair has failed and is of no use; one that found an engine gone is, once that is back. */
export function hasFailed(failed: readonly FailedPair[], prefill: Node, decode: Node): boolean {
  return failed.some(
    (pair) =>
      pair.prefill === prefill &&
      pair.decode === decode &&
      (pair.failure.final || pair.failure.gone.length === 0 || prefill.absent || decode.absent),
  );
}

export interface Awaited {
  /** Pairs that could not be connected. */
  readonly failed: readonly FailedPair[];
  /** Whether the request lost an engine, so that one that becomes well may make the difference. */
  readonly lostOne: boolean;
  readonly limitMs: number;
  readonly pairs: Pick<Pairs, "settled">;
  readonly registry: Pick<Registry, "subscribe">;
  /** Calls `act` after `ms`; the function returned prevents it. */
  readonly after: (ms: number, act: () => void) => () => void;
  /** What ends the wait: it rejects with the reason of the first that is aborted, and holds nothing any more. */
  readonly signals: readonly Signal[];
}

/**
 * Resolves to true as soon as one of the pairs can be had after all or, with an engine gone, as one
 * becomes well; to false when nothing is left to wait for, or the time is over.
 */
export async function untilChanged(awaited: Awaited): Promise<boolean> {
  const { failed, limitMs, pairs, registry, after, signals } = awaited;
  const mayReturn = awaited.lostOne || failed.some(wasThere);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const stop = after(Math.max(limitMs, 0), () => resolve(false));
  const unsubscribe = registry.subscribe({
    stateChanged: (_node, _from, to) => {
      if (mayReturn && to === "healthy") resolve(true);
    },
    // Back so soon that nobody noticed: its state stays what it was.
    said: (word) => {
      const isBack = word.found === "probed" && word.result.kind === "ok";
      if (isBack && failed.some(({ failure }) => failure.gone.includes(word.node.url)))
        resolve(true);
    },
  });
  const settled = failed.map(async ({ prefill, decode, failure }) => {
    // Nobody listens there: it is for the probes to find out when that changes.
    if (failure.gone.length > 0) return;
    const end = await pairs.settled(prefill, decode);
    if (end === null || end === DROPPED) resolve(true);
  });
  void Promise.all(settled).then(() => {
    if (!mayReturn) resolve(false);
  });
  try {
    return await unlessAborted(promise, signals);
  } finally {
    stop();
    unsubscribe();
  }
}

/** Whether an engine of the pair is gone that was well before: it may be restarting, or be back already. */
function wasThere({ prefill, decode, failure: { gone } }: FailedPair): boolean {
  return [prefill, decode].some(({ url, health: { state, comesBack } }) => {
    // Until a probe has failed it still counts as healthy.
    const wasWell = state === "healthy" || state === "unhealthy";
    return gone.includes(url) && (wasWell || comesBack);
  });
}
