import type { ProbeResult } from "../engine/health-answer.ts";
import type { Node } from "./node.ts";

/** LMDeploy's `/health` is up to 12 s old. */
const PROBES_LAG_MS = 15_000;

interface Telling {
  readonly what: "asleep" | "awake";
  /** Until when probes may say otherwise, ms. */
  readonly untilMs: number;
  /** The process that was told. */
  readonly generation: number;
}

/** Which engines an administrator put to sleep or woke: probes may lag behind by some seconds. */
export class Tellings {
  readonly #told = new WeakMap<Node, Telling>();

  add(node: Node, what: Telling["what"], nowMs: number): void {
    const { generation } = node;
    this.#told.set(node, { what, untilMs: nowMs + PROBES_LAG_MS, generation });
  }

  /** Whether a probe says what was before. */
  outdate(node: Node, { kind }: ProbeResult, nowMs: number): boolean {
    const told = this.#told.get(node);
    if (told === undefined) return false;
    const against = told.what === "asleep" ? "ok" : "sleeping";
    const isSame = told.generation === node.generation;
    if (kind === against && isSame && nowMs < told.untilMs) return true;
    this.#told.delete(node);
    return false;
  }
}
