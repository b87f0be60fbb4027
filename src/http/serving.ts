import type { Config } from "../config.ts";
import { ProxyError } from "../core/errors.ts";
import type { Role } from "../core/node.ts";
import { DistServe } from "../distserve/distserve.ts";
import type { Logger } from "../observe/log.ts";
import { dispatch } from "../upstream/dispatch.ts";
import type { InferenceRequest } from "../upstream/request.ts";
import type { Upstream } from "../upstream/send.ts";

/** The serving strategy in force: the one place where Hybrid and DistServe differ for the routes. */
export interface Serving {
  /** Roles of which a healthy node has to be there before requests can be served. */
  readonly needed: readonly Role[];
  /** Null, or why a node of this role is of no use here, and what to change. */
  refusal(role: Role): string | null;
  /** @throws ProxyError not_implemented when requests to `path` cannot be served. */
  assureServed(path: string): void;
  /** Answers an inference request. @throws ProxyError */
  dispatch(request: InferenceRequest): Promise<Response>;
  /** Null in Hybrid mode. */
  readonly distServe: DistServe | null;
}

export function createServing(
  config: Config,
  upstream: Upstream,
  engineHeaders: Readonly<Record<string, string>>,
  log: Logger,
): Serving {
  if (config.servingStrategy === "Hybrid") {
    return {
      needed: ["Hybrid"],
      refusal: (role) => (role === "Hybrid" ? null : refusedByHybrid(role)),
      assureServed: () => {},
      dispatch: (request) => dispatch(request, upstream),
      distServe: null,
    };
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
    after: (ms, act) => {
      const timer = setTimeout(act, ms);
      return () => clearTimeout(timer);
    },
    log: {
      info: (message, fields) => log.info(message, fields),
      warn: (message, fields) => log.warn(message, fields),
    },
  });
  return {
    needed: dummyPrefill ? ["Decode"] : ["Prefill", "Decode"],
    refusal: (role) => (role === "Hybrid" ? REFUSED_BY_DISTSERVE : null),
    assureServed: assureMigration,
    dispatch: (request) => distServe.dispatch(request),
    distServe,
  };
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
