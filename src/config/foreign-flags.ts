/**
 * The flags of other routers: what each becomes here. Names, defaults and meanings as vllm-router
 * 0.1.17, sglang-router 0.3.2 and smg 1.13.0 have them.
 */
import { ALIASES } from "./foreign-aliases.ts";
import { IGNORED } from "./foreign-ignored.ts";
import { REFUSED } from "./foreign-refused.ts";
import type { ForeignFlag } from "./foreign-row.ts";

/** Every flag of theirs that is none of ours, by its name. */
export const FOREIGN_FLAGS: ReadonlyMap<string, ForeignFlag> = new Map(
  [...ALIASES, ...REFUSED, ...IGNORED].map((flag) => [flag.name, flag]),
);
