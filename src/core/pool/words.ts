import type { ProbeResult } from "../engine/health-answer.ts";
import type { EngineKind } from "../engine/kinds.ts";
import type { LoadSample } from "../engine/load-signals.ts";
import type { Node } from "./node.ts";
import type { Doubt } from "./trials.ts";

/** What was found out of a node otherwise than by requests: who hears the same words knows the same. */
export type Word = { readonly node: Node } & Finding;

export type Finding =
  /** A probe came back; `progressed`: the node sent bytes of some answer meanwhile. */
  | { readonly found: "probed"; readonly result: ProbeResult; readonly progressed: boolean }
  /** Its gauges were read; asked for at `askedAtMs`, monotonic. */
  | {
      readonly found: "sampled";
      readonly sample: LoadSample;
      readonly engine: EngineKind | null;
      readonly askedAtMs: number;
    }
  /** Its gauges say whether it sleeps. */
  | { readonly found: "asleep"; readonly asleep: boolean }
  /** An administrator put it to sleep, or woke it. */
  | { readonly found: "told"; readonly what: "asleep" | "awake" }
  /** An administrator has requests there aborted. */
  | { readonly found: "aborted" }
  /** It answers its probes, and is not to be trusted all the same. */
  | { readonly found: "doubted"; readonly why: Doubt; readonly reason: string }
  /** A request on trial has shown that it is. */
  | { readonly found: "cleared" };
