import type { ReadPrompt } from "../core/body/prompt-reader.ts";
import type { Clock } from "../core/clock.ts";
import type { Cohort } from "../core/cohort.ts";
import type { Exchange, Exchanges } from "../core/exchange.ts";
import type { Keepers } from "../core/pool/keepers.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { RequestIds } from "../core/request-id.ts";
import type { Trace } from "../core/trace.ts";
import type { NodePolicy } from "../discovery/node-policy.ts";
import type { Log } from "../observe/log.ts";
import type { NodeFailure } from "../observe/metrics.ts";
import type { NodeFigures } from "../observe/node-figures.ts";
import type { OpenRequest } from "../observe/open-requests.ts";
import type { Fetch } from "../upstream/forward.ts";
import type { ModelDiscovery } from "../upstream/model-discovery.ts";
import type { Access } from "./access.ts";
import type { BunServer } from "./bun-server.ts";
import type { Departures } from "./departures.ts";
import type { Shown } from "./live/stream.ts";
import type { Mode } from "./mode.ts";
import type { ModelAliases } from "./model-aliases.ts";
import type { OpenFiles } from "./open-files.ts";
import type { Peers } from "./peers.ts";
import type { BodyLimits } from "./read-body.ts";
import type { Reloaded } from "./setting-schemas.ts";
import type { SharedQuestions } from "./shared-questions.ts";
import type { SseKeepalive } from "./sse-keepalive.ts";

/** Where several processes answer, some of it has to be asked of others. */
export type Later<T> = T | Promise<T>;

/** The process that knows the nodes, for one that only sends requests to them. */
export interface ControlPlane {
  /** Hands on a request whose body is read. @throws ProxyError when it cannot be asked. */
  administer(request: Request, body: Uint8Array, socketAddress: string | null): Promise<Response>;
}

/** What the HTTP routes need; put together once, in `proxy/assemble.ts`. */
export interface Services {
  readonly registry: Registry;
  readonly discovery: Pick<ModelDiscovery, "find" | "stillServes">;
  readonly access: Access;
  readonly peers: Peers;
  /** What this process adds to `Via` (RFC 9110 §7.6.3), so that it knows a request that it sent itself. */
  readonly via: string;
  /** What the server knows of a request's connection. */
  readonly server: () => BunServer;
  /** What strategies are told of a prompt. */
  readonly readPrompt: ReadPrompt;
  /** A client says that its session has ended. */
  readonly finishSession: (name: string) => void;
  /** Which node keeps which response. */
  readonly keepers: Keepers;
  readonly bodyLimits: BodyLimits;
  readonly maxHeaderBytes: number;
  /** Of administration's own: what clients send does not keep an administrator out. */
  readonly adminBodyLimits: BodyLimits;
  readonly openFiles: OpenFiles;
  /** Of requests that arrive, and of whole answers that are handed on. */
  readonly arriving: Cohort;
  readonly leaving: Cohort;
  readonly ids: RequestIds;
  readonly aliases: ModelAliases;
  readonly exchanges: Exchanges;
  readonly departures: Departures;
  /** Null when streams wait for their first word in silence. */
  readonly sseKeepalive: SseKeepalive | null;
  /** How each node does beside its peers. */
  readonly nodeFigures: () => Later<ReadonlyMap<Node, NodeFigures>>;
  /** What went wrong on a node last, the latest first. */
  readonly nodeFailures: (node: Node) => Later<readonly NodeFailure[]>;
  /** All that is known of requests by an id, those that run first. */
  readonly explain: (id: string) => Later<readonly unknown[]>;
  /** All requests that run or wait, oldest first. */
  readonly openRequests: () => Later<OpenRequest[]>;
  /** Cancels all that run by this id, as clients chose it; how many. */
  readonly cancel: (id: string) => Later<number>;
  /** Takes a request up into a trace; null when nothing is traced. */
  readonly beginTrace: ((exchange: Exchange) => Trace) | null;
  /** What the live page shows. */
  readonly live: Shown;
  /** Whether answers name their node. */
  readonly exposesNode: boolean;
  /** The page at `/metrics`, in OpenMetrics' dialect or not. */
  readonly metricsPage: (openMetrics: boolean) => Later<string>;
  /** Who answers what administrators and engines ask, where that is another process; null: this one. */
  readonly control: ControlPlane | null;
  /** Replaces workers by the executable that lies in its place now; null without workers. @throws ProxyError */
  readonly upgrade:
    | ((what: "workers" | "all") => Promise<{ readonly from: string; readonly to: string }>)
    | null;
  /** Each flag with its value, keys masked. */
  readonly flags: () => Readonly<Record<string, string>>;
  /** Whether the state file is kept from other processes; null without one. */
  readonly stateLocked: () => boolean | null;
  /** Why the state file could not be written last; null when it was. */
  readonly stateProblem: () => string | null;
  readonly log: Log;
  /** Monotonic clock, ms. */
  readonly now: () => number;
  /** Calls back once, after so many ms; the function returned keeps it from that. */
  readonly after: Clock["after"];
  /** For how long a connection may stand idle, s. */
  readonly keepAliveS: number;
  readonly proto: "http" | "https";
  /** Wall clock when the proxy started, s since 1970. */
  readonly startedAtS: number;
  /** Sent with the proxy's own questions to engines. */
  readonly engineHeaders: Readonly<Record<string, string>>;
  /** Asks engines, and nobody whom the node policy refuses. */
  readonly fetch: Fetch;
  readonly sharedQuestions: SharedQuestions;
  readonly upstreamApiKey: () => string | null;
  /** Reads the files of the configuration again. @throws ProxyError invalid_request */
  readonly reload: () => Promise<Reloaded>;
  /** The proxy or router whose answers are given where they differ; null for none. */
  readonly as: "lmdeploy" | "vllm-router" | "sglang-router" | "smg" | null;
  readonly mode: Mode;
  readonly nodePolicy: NodePolicy;
  readonly lifecycle: {
    /** False once draining began: new inference is refused. */
    readonly open: boolean;
    /** True from the moment that it is about to end: `/ready` says so. */
    readonly leaving: boolean;
  };
}
