/** What the proxy uses where nothing was given: one place for the start and for `--print-config`. */
import { fstatSync } from "node:fs";
import type { Config } from "../config/serve-config.ts";
import { LOCAL_AND_PRIVATE } from "../core/address/cidr.ts";
import type { LineFormat } from "../observe/line-format.ts";
import { bodyCopies } from "./mode.ts";

/** A quarter of the memory, of the machine or of the container; at least one body and its copies. */
export function bodyMemoryBytes(config: Config): number {
  const quarter = Math.floor(process.constrainedMemory() / 4);
  const oneBytes = config.maxBodyBytes * (1 + bodyCopies(config));
  return config.maxBodyMemoryBytes ?? Math.max(oneBytes, quarter);
}

/** Engines send no key when they register: without an admin key, peers nearby are trusted. */
export function trustedNetworks({ trustNodes, adminKey }: Config): readonly string[] {
  return trustNodes ?? (adminKey === null ? LOCAL_AND_PRIVATE : []);
}

/** People read a terminal, programs all else. */
export function lineFormat({ logFormat }: Config): LineFormat {
  if (logFormat !== "auto") return logFormat;
  return isTerminal(2) ? "text" : "json";
}

function isTerminal(descriptor: number): boolean {
  try {
    if (!fstatSync(descriptor).isCharacterDevice()) return false;
  } catch {
    // It is closed.
    return false;
  }
  return process.getBuiltinModule("node:tty").isatty(descriptor);
}

/** The configuration with those values in their places. */
export function effective(config: Config): Config {
  return {
    ...config,
    prefillStrategy: config.prefillStrategy ?? config.strategy,
    decodeStrategy: config.decodeStrategy ?? config.strategy,
    maxBodyMemoryBytes: bodyMemoryBytes(config),
    trustNodes: trustedNetworks(config),
    logFormat: lineFormat(config),
  };
}
