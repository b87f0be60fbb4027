import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { NODE_NAME } from "../../src/core/address/node-name.ts";
import type { StateFileOptions } from "../../src/state/file.ts";
import type { StateEntry } from "../../src/state/format.ts";

const modelNames = fc.uniqueArray(fc.string({ unit: "grapheme", minLength: 1 }), { maxLength: 4 });

export const anyEntry: fc.Arbitrary<StateEntry> = fc.record({
  url: fc
    .tuple(fc.constantFrom("http", "https"), fc.ipV4(), fc.integer({ min: 1024, max: 65535 }))
    .filter(([, address]) => address !== "0.0.0.0")
    .map(([scheme, address, port]) => `${scheme}://${address}:${port}`),
  role: fc.constantFrom("Hybrid", "Prefill", "Decode"),
  models: modelNames,
  discoveredModels: modelNames,
  speed: fc.option(fc.double({ min: 0, minExcluded: true, max: 1e9, noNaN: true })),
  draining: fc.boolean(),
  name: fc.option(fc.stringMatching(NODE_NAME)),
});

export const anyEntries = fc.uniqueArray(anyEntry, { maxLength: 6, selector: ({ url }) => url });

/** One node on `port`, with nothing special about it. */
export function entry(port: number, change: Partial<StateEntry> = {}): StateEntry {
  return {
    url: `http://10.0.0.7:${port}`,
    role: "Hybrid",
    models: ["internlm2-chat-7b"],
    discoveredModels: [],
    speed: null,
    draining: false,
    name: null,
    ...change,
  };
}

/** A directory of its own, without symbolic links in its path, gone when disposed of. */
export function temporaryFolder() {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "lmproxy-state-")));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Collects warnings, each as one line, and what is to happen later: never by itself. */
export function warnings() {
  const lines: string[] = [];
  const later: (() => void)[] = [];
  const log: Pick<StateFileOptions, "warn" | "after"> = {
    after(_ms, act) {
      later.push(act);
      return () => later.splice(later.indexOf(act), 1);
    },
    warn: (message, details) => lines.push([message, ...Object.values(details)].join(" | ")),
  };
  return { ...log, lines, later };
}

/** The state number `step` of a long series: a step's number can be told from it, and half of it cannot pass for a whole. */
export function churnedEntries(step: number): StateEntry[] {
  return Array.from({ length: (step % 40) + 1 }, (_, index) => entry(index + 1, { speed: step }));
}
