/** Ranges of sampling parameters, in the words of LMDeploy's `check_request`. */

import type { JsonObject } from "../../core/json-object.ts";
import { EngineRefusal } from "./answer.ts";
import { numberField } from "./body.ts";
import { pythonJson } from "./python-json.ts";

interface Range {
  readonly name: string;
  readonly fits: (value: number) => boolean;
  readonly complaint: string;
  readonly isFloat?: boolean;
}

const RANGES: readonly Range[] = [
  { name: "top_p", fits: (p) => p > 0 && p <= 1, complaint: "must be in (0, 1].", isFloat: true },
  { name: "top_k", fits: (k) => k >= 0, complaint: "cannot be a negative integer." },
  {
    name: "temperature",
    fits: (t) => t >= 0 && t <= 2,
    complaint: "must be in [0, 2]",
    isFloat: true,
  },
  { name: "min_p", fits: (p) => p >= 0 && p <= 1, complaint: "must be in [0, 1].", isFloat: true },
  { name: "min_new_tokens", fits: (n) => n >= 0, complaint: "cannot be a negative integer." },
  { name: "top_logprobs", fits: (n) => n >= 0 && n <= 20, complaint: "must be in [0, 20]." },
];

/** Throws `EngineRefusal` 400 for the first parameter out of its range. */
export function checkSampling(body: JsonObject): void {
  for (const { name, fits, complaint, isFloat } of RANGES) {
    const value = numberField(body, name);
    if (value === undefined || fits(value)) continue;
    const shown = pythonJson(value, "ascii") + (isFloat && Number.isInteger(value) ? ".0" : "");
    throw new EngineRefusal(400, `The ${name} ${shown} ${complaint}`);
  }
}
