import type { Config } from "../config/serve-config.ts";
import type { Role } from "../core/engine/roles.ts";
import { ProxyError } from "../core/errors.ts";
import { DistServe } from "../distserve/distserve.ts";
import type { Mode } from "../http/mode.ts";
import type { EventLog } from "../observe/log.ts";
import { dispatch } from "../upstream/dispatch.ts";
import type { Upstream } from "../upstream/send.ts";

/** The mode, and the DistServe behind it that has to be started and stopped; null in Hybrid mode. */
export interface CreatedMode {
  readonly mode: Mode;
  readonly distServe: DistServe | null;
}

export function createMode(
  config: Config,
  upstream: Upstream,
  engineHeaders: Readonly<Record<string, string>>,
  log: EventLog,
): CreatedMode {
  if (config.servingStrategy === "Hybrid") {
    const mode: Mode = {
      needed: ["Hybrid"],
      refusal: (role) => (role === "Hybrid" ? null : refusedByHybrid(role)),
      bodyCopies: bodyCopies(config),
      assureServed: () => {},
      dispatch: (request) => dispatch(request, upstream),
      disaggregated: null,
    };
    return { mode, distServe: null };
  }
  const { migrationProtocol, linkType, gdr, dummyPrefill, warmup } = config;
  const distServe = new DistServe({
    upstream,
    transport: { protocol: migrationProtocol, linkType, gdr },
    dummyPrefill,
    warmUp: warmup,
    engineHeaders,
    maxInFlightPerNode: config.maxConcurrencyPerNode ?? Number.POSITIVE_INFINITY,
    pairWaitMs: config.queueTimeoutMs,
    log: {
      info: (message, fields) => log.info(message, fields),
      warn: (message, fields) => log.warning(message, fields),
    },
  });
  const mode: Mode = {
    needed: dummyPrefill ? ["Decode"] : ["Prefill", "Decode"],
    refusal: (role) => (role === "Hybrid" ? REFUSED_BY_DISTSERVE : null),
    // One for each engine.
    bodyCopies: bodyCopies(config),
    assureServed: assureMigration,
    dispatch: (request) => distServe.dispatch(request),
    disaggregated: distServe,
  };
  return { mode, distServe };
}

/** How often a body is held a second time: DistServe edits one for each of its steps. */
export function bodyCopies({ servingStrategy, dummyPrefill }: Config): number {
  if (servingStrategy === "Hybrid") return 0;
  return dummyPrefill ? 1 : 2;
}

/** Only these two carry what a decode engine needs to fetch a prefill's blocks. */
const WITH_MIGRATION = ["/v1/chat/completions", "/v1/completions"];

function assureMigration(path: string): void {
  if (WITH_MIGRATION.includes(path)) return;
  throw new ProxyError(
    "not_implemented",
    `With DistServe only ${WITH_MIGRATION.join(" and ")} are served; ` +
      `for ${path} run a proxy with --serving-strategy Hybrid, and Hybrid engines.`,
  );
}

function refusedByHybrid(role: Role): string {
  return (
    `This proxy runs with --serving-strategy Hybrid and takes Hybrid nodes, not ${role} nodes: ` +
    "start the engine with --role Hybrid, or the proxy with --serving-strategy DistServe."
  );
}

const REFUSED_BY_DISTSERVE =
  "This proxy runs with --serving-strategy DistServe and takes Prefill and Decode nodes, not Hybrid " +
  "nodes: start the engine with --role Prefill or --role Decode (by hand, name the role in `status`), " +
  "or the proxy with --serving-strategy Hybrid.";
