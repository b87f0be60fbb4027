import type { Wanted } from "../core/pool/choose.ts";
import type { Node } from "../core/pool/node.ts";
import type { InferenceRequest } from "../upstream/request.ts";

/** What one request wants of a node of each role. */
export type Wants = Readonly<Record<"Prefill" | "Decode", WantedOfRole>>;

export interface WantedOfRole extends Wanted {
  /** Of its last attempt at a node of that role. */
  hasAnswer: boolean;
}

export function wantsOf(
  { model, called, asked }: InferenceRequest,
  triedPrefill: ReadonlySet<Node>,
  triedDecode: ReadonlySet<Node>,
): Wants {
  // The first byte of a prefill's answer tells of the prefill, whatever its client asked for.
  const ofPrefill = asked.stream ? asked : { ...asked, stream: true };
  return {
    Prefill: {
      model,
      called,
      role: "Prefill",
      asked: ofPrefill,
      tried: triedPrefill,
      hasAnswer: false,
    },
    Decode: { model, called, role: "Decode", asked, tried: triedDecode, hasAnswer: false },
  };
}
