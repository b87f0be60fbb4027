/** What can be wrong with nodes, as the proxy sees them. Pure. */
import { ENGINE_KINDS, gaugesRefreshMs } from "../../core/engine/kinds.ts";
import type { NodeStatus } from "../node-table.ts";
import { shortTime } from "../table.ts";
import type { Check, Found, Look, Told } from "./snapshot.ts";

/** As the alert LmproxyNodeSlow has it. */
const SLOW_TIMES = 3;
/** Differences that nobody notices are none, s: one is there once an answer, the other for each token of it. */
const LATE_BY_S = 0.1;
const SLOW_BY_S = 0.01;
/** As the alert LmproxySamplesStale has it: so many intervals. */
const STALE_INTERVALS = 3;
/** A request that an engine has had for so long shows when it makes its gauges anew, s. */
const SHOWS_AFTER_S = 1;
/** An engine may finish what its client has given up. */
const RUNS_ON = 1;

/** One finding a node that `wrong` says something of. */
function eachNode(
  { nodes }: Look,
  wrong: (node: NodeStatus, url: string) => Omit<Found, "about"> | null,
): Found[] {
  return Object.entries(nodes).flatMap(([url, node]) => {
    const found = wrong(node, url);
    return found === null ? [] : [{ about: url, ...found }];
  });
}

function isUp({ state }: NodeStatus): boolean {
  return state === "healthy" || state === "draining";
}

/** No node at all, or none that is healthy for a model; with DistServe it takes one of each role. */
export const noNode: Check = ({ url }, { after, flags }) => {
  const nodes = Object.values(after.nodes);
  const needed = nodesNeeded(flags);
  if (nodes.length === 0) {
    const advice = needed.map(({ role }) => howToAdd(url, role)).join("; ");
    return [{ about: url, what: "it has no nodes", advice }];
  }
  const models = new Set(nodes.flatMap((node) => node.models));
  return needed.flatMap(({ kind, role, isOne }) => {
    const all = nodes.filter(isOne);
    const known = new Set(all.flatMap((node) => node.models));
    const healthy = all.filter(({ state }) => state === "healthy");
    return [...models.difference(new Set(healthy.flatMap((node) => node.models)))].map((model) => ({
      about: url,
      what: `no ${kind} that serves ${model} is healthy`,
      advice: known.has(model)
        ? "bring one back; what keeps each of them out stands with it, and `lmproxy nodes undrain` ends a drain"
        : howToAdd(url, role),
    }));
  });
};

function nodesNeeded(flags: Told["flags"]) {
  if (flags["--serving-strategy"] !== "DistServe") {
    return [{ kind: "node", role: null, isOne: () => true }];
  }
  const decode = { kind: "decode node", role: "Decode", isOne: (one: NodeStatus) => isOf(one, 3) };
  if (flags["--dummy-prefill"] === "on") return [decode];
  const isPrefill = (one: NodeStatus) => isOf(one, 2);
  return [{ kind: "prefill node", role: "Prefill", isOne: isPrefill }, decode];
}

/** Left out, the role is Hybrid, which a proxy with DistServe refuses. */
function howToAdd(url: string, role: string | null): string {
  const flag = role === null ? "" : ` --role ${role}`;
  return `start one with${flag} --proxy-url ${url}, or name one that runs: lmproxy nodes add URL${flag}`;
}

export const unreachable: Check = (_, { after }) =>
  eachNode(after, ({ state, last_error, no_models }, url) => {
    const isStarting = state === "starting" && Boolean(last_error);
    if ((state !== "unhealthy" && !isStarting) || isOutForAnswers(after, url)) return null;
    const why = last_error ?? no_models ?? "no reason known";
    const [, advice] = WHAT_TO_DO.find(([reason]) => reason.test(why)) ?? WHAT_TO_DO[0];
    return { what: `it is ${state} (${why})`, advice };
  });

/** By why probes fail, as docs/runbooks.md has it; the first for whatever else it is. */
const WHAT_TO_DO = [
  [
    /: no connection/,
    "see whether its engine runs and whether its address and port can be reached from the proxy's " +
      "machine; `lmproxy nodes remove` forgets one that is gone for good",
  ],
  [
    /no answer within/,
    "something listens there and does not answer, or its machine is away: look at its engine's log and at its " +
      "GPU, and restart it",
  ],
  [
    /answered 404/,
    "it is no engine, or has no such path: start the proxy with --health-path, or " +
      "`lmproxy nodes remove` it",
  ],
  [
    /certificate/,
    "renew it, set the clocks, use the name that it is for, or start the proxy with NODE_EXTRA_CA_CERTS naming its " +
      "issuer's file",
  ],
] as const;

/** It answers its probes, and is out all the same. */
function isOutForAnswers({ outFor }: Look, url: string): boolean {
  return (outFor.get(url) ?? "probe") !== "probe";
}

export const failing: Check = (_, { after }) =>
  eachNode(after, ({ state, last_error }, url) => {
    if (state !== "unhealthy" || !isOutForAnswers(after, url)) return null;
    return {
      what: `it answers its probes, and is out for its answers (${last_error ?? "no reason known"})`,
      advice:
        "see its engine's log, what else runs there, and its GPU; it gets requests on trial, and comes back " +
        "by itself once they are answered well",
    };
  });

export const keyWanted: Check = (_, { after, flags }) =>
  eachNode(after, ({ last_error, no_models, no_usage }) => {
    const said = [last_error, no_models, no_usage].find((text) => text && /\b40[13]\b/.test(text));
    if (!said) return null;
    const isSent = flags["--upstream-api-key"] === "***";
    return {
      what: `its engine wants a key (${said})`,
      advice: isSent
        ? "--upstream-api-key is not the key that this engine was started with"
        : "start the proxy with --upstream-api-key, or the engine without a key",
    };
  });

export const modelsUnknown: Check = (_, { after }) =>
  eachNode(after, (node) => {
    const { models, no_models } = node;
    if (models.length > 0 || !no_models || /\b40[13]\b/.test(no_models) || !isUp(node)) return null;
    return {
      what: `it is asked for no model, since none is known (${no_models})`,
      advice:
        "see whether its address is an engine's at all; one that lists none is told of with " +
        "`lmproxy nodes add URL --model NAME`",
    };
  });

export const metricsOff: Check = (_, { after }) =>
  eachNode(after, (node) => {
    const { no_usage } = node;
    if (!no_usage || /\b40[13]\b/.test(no_usage) || !isUp(node)) return null;
    // One that was read once is stale, which has a check of its own.
    if (typeof node.last_metrics_age_s === "number") return null;
    return {
      what: `its load is not known (${no_usage})`,
      advice:
        "start its engine with metrics on (SGLang and older LMDeploy: --enable-metrics, llama.cpp: " +
        "--metrics); strategies that look at load treat it as unknown",
    };
  });

export const staleSamples: Check = (_, { after, metricsIntervalS }) =>
  eachNode(after, (node) => {
    const ageS = node.last_metrics_age_s;
    const mostS = STALE_INTERVALS * metricsIntervalS;
    if (typeof ageS !== "number" || ageS <= mostS || !isUp(node)) return null;
    const why = node.no_usage ? `: ${node.no_usage}` : "";
    return {
      what: `its load was last read ${shortTime(ageS)} ago${why}`,
      advice: "see what GET /metrics of its engine answers, and how long that takes",
    };
  });

export const stillGauges: Check = (_, { after }) =>
  eachNode(after, (node) => {
    const { oldest_request_s: oldestS, last_metrics_age_s: ageS } = node;
    if (typeof oldestS !== "number" || typeof ageS !== "number" || !isUp(node)) return null;
    const kind = ENGINE_KINDS.find((one) => one === node.engine) ?? null;
    const hadOne = oldestS - ageS > SHOWS_AFTER_S + gaugesRefreshMs(kind) / 1_000;
    const shows = [node.running, node.waiting, node.cache_usage].some(
      (figure) => Number(figure) > 0,
    );
    if (!hadOne || shows || typeof node.running !== "number") return null;
    return {
      what: `its gauges show nothing, though it has had a request for ${shortTime(oldestS)}`,
      advice:
        "its engine hangs before the request reaches its scheduler, or its metrics are another " +
        "process's (several workers, PROMETHEUS_MULTIPROC_DIR)",
    };
  });

/** Nodes that share a model and differ in others: clients of those find fewer nodes than they think. */
export const otherModels: Check = (_, { after }) =>
  eachNode(after, (node) => {
    const common = new Set(peersOf(node, after).flatMap(({ models }) => models));
    const missing = [...common.difference(new Set(node.models))];
    if (missing.length === 0) return null;
    return {
      what: `it lacks models that nodes beside it serve: ${missing.slice(0, 5).join(", ")}`,
      advice: "start engines of one kind with the same models and adapters",
    };
  });

/** The others of its role with a model in common. There may be thousands of models, and none shared. */
function peersOf(node: NodeStatus, { nodes }: Look): NodeStatus[] {
  const own = new Set(node.models);
  return Object.values(nodes).filter(
    (other) =>
      other !== node && other.role === node.role && other.models.some((model) => own.has(model)),
  );
}

export const slow: Check = (_, { after }) =>
  eachNode(after, (node) => {
    const peers = peersOf(node, after);
    for (const [what, of, leastS] of [
      ["first byte", firstByteOf, LATE_BY_S],
      ["time between two pieces", pieceOf, SLOW_BY_S],
    ] as const) {
      const own = of(node);
      const usual = median(peers.map(of));
      if (typeof own !== "number" || usual === null) continue;
      if (own < SLOW_TIMES * usual || own - usual < leastS) continue;
      return {
        what: `its median ${what} is ${shortTime(own)}, that of its peers ${shortTime(usual)}`,
        advice: "see what else runs there, and whether its GPU is throttled or another one",
      };
    }
    return null;
  });

/** Its median, where the proxy compares it: of too few answers it says nothing of its node. */
function firstByteOf({ first_byte_p50_s, first_byte_ratio }: NodeStatus) {
  return typeof first_byte_ratio === "number" ? first_byte_p50_s : null;
}

function pieceOf({ piece_p50_s, piece_ratio }: NodeStatus) {
  return typeof piece_ratio === "number" ? piece_p50_s : null;
}

function median(values: readonly (number | null | undefined)[]): number | null {
  const known = values.filter((value) => typeof value === "number").sort((a, b) => a - b);
  return known[known.length >> 1] ?? null;
}

/** More runs there than we have sent: two proxies that know nothing of each other spoil each other's counts. */
export const otherTraffic: Check = (_, { before, after }) =>
  eachNode(after, (node, url) => {
    const { running, last_metrics_age_s: ageS, unfinished } = node;
    const isNew = typeof ageS === "number" && ageS < after.atS - before.atS;
    const was = before.nodes[url];
    if (!isNew || typeof running !== "number" || was === undefined) return null;
    const ended = (after.endedByNode.get(url) ?? 0) - (before.endedByNode.get(url) ?? 0);
    const most = unfinished + ended;
    if (running <= most + RUNS_ON) return null;
    return {
      what: `it runs ${running} requests, and ${most} at most are this proxy's`,
      advice:
        "somebody else sends it requests: another proxy with the same nodes, or clients of its own; the " +
        "proxy counts only its own",
    };
  });

export const unpaired: Check = (_, { after, flags }) => {
  if (flags["--serving-strategy"] !== "DistServe" || flags["--no-warmup"] === "on") return [];
  const decodes = Object.values(after.nodes).filter(
    (node) => isOf(node, 3) && node.state === "healthy",
  ).length;
  return eachNode(after, (node) => {
    const pairs = node.pairs ?? 0;
    // One that drains loses its pairs.
    if (!isOf(node, 2) || node.state !== "healthy" || pairs >= decodes) return null;
    return {
      what: `it is connected with ${pairs} of ${decodes} decode nodes`,
      advice:
        "POST /distserve/connection_warmup tries again and says why each pair fails: most often the " +
        "engines differ in --migration-backend, or cannot reach each other's addresses",
    };
  });
};

function isOf({ role }: NodeStatus, wanted: 2 | 3): boolean {
  return role === wanted || role === (wanted === 2 ? "Prefill" : "Decode");
}
