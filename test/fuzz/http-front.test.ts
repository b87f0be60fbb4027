import { expect, test } from "bun:test";
import { FUZZ_SEED, runs } from "../core/fuzz.ts";
import { fuzzHttpFront } from "./http-front.ts";

const { numRuns } = runs(100_000);

test(
  `${numRuns} damaged requests: each answer is one, no engine sees half a request, nothing is left`,
  async () => {
    const { inputs, answers, engineRequests, findings } = await fuzzHttpFront(FUZZ_SEED, numRuns);
    expect(findings).toEqual([]);
    expect(inputs).toBeGreaterThan(numRuns);
    // The inputs are good enough to get through, and bad enough not to.
    expect(engineRequests).toBeGreaterThan(numRuns / 50);
    for (const status of [200, 204, 302, 400, 401, 403, 404, 405, 408, 413, 415, 431, 505]) {
      expect([status, answers.get(String(status)) ?? 0]).not.toEqual([status, 0]);
    }
  },
  numRuns * 10,
);
