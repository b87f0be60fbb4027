import type { Answer } from "../core/engine/answer.ts";
import type { Failure } from "../core/failure.ts";
import type { Node } from "../core/pool/node.ts";
import { type AskOptions, ask } from "./ask.ts";

export interface FanOutOptions extends AskOptions {
  /** Path and query at each node. */
  readonly target: string;
  /** Nodes that are asked at the same time, 1 or more. */
  readonly atOnce: number;
  /** Monotonic clock, ms. */
  readonly now: () => number;
}

/** What one node answered, or why it did not. */
export interface NodeAnswer {
  readonly node: Node;
  readonly answer: Answer | Failure;
  readonly tookMs: number;
}

/** Calls the same thing at several nodes, each within the limits of one question. In their order. */
export async function fanOut(
  nodes: readonly Node[],
  { target, atOnce, now, ...options }: FanOutOptions,
): Promise<NodeAnswer[]> {
  const answers: NodeAnswer[] = [];
  const left = nodes.entries();
  async function work(): Promise<void> {
    for (const [at, node] of left) {
      const startedAtMs = now();
      const answer = await ask(node.url + target, options);
      answers[at] = { node, answer, tookMs: now() - startedAtMs };
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, nodes.length) }, work));
  return answers;
}
