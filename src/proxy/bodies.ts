import type { Config } from "../config/serve-config.ts";
import type { Clock } from "../core/clock.ts";
import { BodyMemory } from "../http/body-memory.ts";
import type { BodyLimits } from "../http/read-body.ts";
import { SlowBodies } from "../http/slow-bodies.ts";
import { bodyMemoryBytes } from "./effective.ts";

/** Administration is a few lines of JSON, or thousands of model names. */
const ADMIN_BODY_BYTES = 4 * 1024 * 1024;

/** The limits on what comes in. */
export interface Bodies {
  readonly slow: SlowBodies;
  /** Of clients' bodies. */
  readonly memory: BodyMemory;
  readonly limits: BodyLimits;
  /** Of administration's own memory: what clients send does not keep an administrator out. */
  readonly adminLimits: BodyLimits;
}

export function createBodies(config: Config, clock: Clock): Bodies {
  const slow = new SlowBodies(config.bodyTimeoutMs, clock);
  const memory = new BodyMemory(bodyMemoryBytes(config), "--max-body-memory");
  const { soon } = clock;
  return {
    slow,
    memory,
    limits: { maxBytes: config.maxBodyBytes, slow, soon, memory, flag: "--max-body" },
    adminLimits: {
      maxBytes: ADMIN_BODY_BYTES,
      slow,
      soon,
      memory: new BodyMemory(16 * ADMIN_BODY_BYTES, null),
      flag: null,
    },
  };
}
