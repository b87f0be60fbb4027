/** Flags of other routers that have a counterpart here: which, and what happens to their values. */
import type { StrategyName } from "../core/strategies/index.ts";
import { type Becomes, type ForeignFlag, rows, type Taken } from "./foreign-row.ts";

/** The same value under our name. */
function same(ours: string): Becomes {
  return { kind: "ours", as: (values) => ({ words: [ours, ...values] }) };
}

function ours(as: Extract<Becomes, { kind: "ours" }>["as"]): Becomes {
  return { kind: "ours", as };
}

/** Their policies, and ours that do the same. */
const POLICIES: Readonly<Record<string, StrategyName>> = {
  random: "random",
  round_robin: "round_robin",
  power_of_two: "power_of_two",
  least_load: "min_expected_latency",
  cache_aware: "prefix_aware",
  prefix_hash: "prefix_aware",
  consistent_hash: "consistent_hash",
  consistent_hashing: "consistent_hash",
  rendezvous_hash: "consistent_hash",
  sticky_least_loaded: "sticky_least_loaded",
  manual: "sticky_least_loaded",
};

const NO_POLICY: Readonly<Record<string, string>> = {
  bucket: "lengths are not sorted into classes; see --strategy min_expected_latency",
  passthrough: "every request is balanced; leave it out",
  kv_aware: "engines' KV events are not read; --strategy prefix_aware does without",
};

function policy(flag: string): Extract<Becomes, { kind: "ours" }> {
  return {
    kind: "ours",
    as: ([named = ""]) => {
      const theirs = named.toLowerCase().replaceAll("-", "_");
      const refused = NO_POLICY[theirs];
      if (refused !== undefined) return { words: [], refused };
      // Ours, or no policy at all: the strategy's own message lists what there is.
      return { words: [flag, POLICIES[theirs] ?? named] };
    },
  };
}

/** Among engines of one role: theirs take it also where there are no roles. */
function rolePolicy(flag: string): Becomes {
  return { ...policy(flag), onlyIn: "DistServe" };
}

function workerUrls(values: readonly string[]): Taken {
  const odd = values.find((url) => /^(?:grpcs?|ipc|zmq|tcp):\/\//i.test(url));
  if (odd !== undefined) {
    return { words: [], refused: "engines are reached over http:// or https:// alone" };
  }
  return { words: values.length === 0 ? [] : ["--node", ...values] };
}

/** sglang-router and smg ask clients for it, vllm-router only uses it for its own calls. */
const apiKey = ours((values, product) => {
  if (product === "vllm-router") {
    return {
      words: ["--upstream-api-key", ...values],
      note: "--api-key is taken as --upstream-api-key, as in vllm-router: clients need none",
    };
  }
  const whose =
    product === null
      ? "as in sglang-router and smg; --as vllm-router tells otherwise"
      : `as in ${product}`;
  return {
    words: ["--api-keys", ...values, "--upstream-api-key", ...values],
    note: `--api-key is taken as --api-keys and --upstream-api-key, ${whose}: clients need it`,
  };
});

const maxRetries = ours(([count = ""]) =>
  count === "0" || count === "1"
    ? { words: ["--no-retry"] }
    : {
        words: [],
        note: "--retry-max-retries has no effect here: attempts are bounded by a budget, docs/reliability.md",
      },
);

/** -1 and 0 are no limit there. */
const maxConcurrent = ours(([count = ""]) => ({
  words: ["--max-concurrency", count === "-1" ? "0" : count],
}));

/** Theirs listens on every address; ours on loopback unless told otherwise. */
const prometheusPort = ours((values, product) => ({
  words: ["--metrics-port", ...values],
  ...(product === "sglang-router" || product === "smg"
    ? { otherwise: ["--metrics-host", "0.0.0.0"] }
    : {}),
}));

/** Bun counts idle connections in whole seconds up to 255. */
const keepAlive = ours(([seconds = ""]) => ({
  words: ["--keep-alive", Number(seconds) > 255 ? "255" : seconds],
}));

function oneOfTheirs(taken: readonly string[], because: string, refused: string): Becomes {
  return ours(([value = ""]) =>
    taken.includes(value.toLowerCase()) ? { words: [], note: because } : { words: [], refused },
  );
}

/** One rank is no ranks. */
const ranks = oneOfTheirs(
  ["1"],
  "--intra-node-data-parallel-size 1 has no effect here: one rank is the engine itself",
  "ranks are chosen by the engine; give each rank its own port and --node",
);

const backend = oneOfTheirs(
  ["sglang", "vllm", "trtllm", "tokenspeed"],
  "--backend has no effect here: engines of any kind stand side by side",
  "nodes are engines, not providers",
);

const history = oneOfTheirs(
  ["memory", "none"],
  "--history-backend has no effect here: engines keep responses, lmproxy keeps none",
  "engines keep responses; lmproxy keeps none",
);

/** Where smg and sglang-router put a new key: here always where the fewest are, their `min_group`. */
const assignment = oneOfTheirs(
  ["random", "min_load", "min_group"],
  "--assignment-mode has no effect here: a session begins on the node with the fewest",
  "a session begins on the node with the fewest",
);

export const ALIASES: readonly ForeignFlag[] = [
  ...rows(ours(workerUrls), { VSM: "worker-urls*" }),
  ...rows(policy("--strategy"), { VSM: "policy" }),
  ...rows(rolePolicy("--prefill-strategy"), { VSM: "prefill-policy" }),
  ...rows(rolePolicy("--decode-strategy"), { VSM: "decode-policy" }),
  ...rows(same("--max-body"), { VSM: "max-payload-size" }),
  ...rows(apiKey, { VSM: "api-key" }),
  ...rows(same("--timeout"), { VSM: "request-timeout-secs" }),
  ...rows(maxRetries, { VSM: "retry-max-retries" }),
  ...rows(same("--no-retry"), { VSM: "disable-retries?" }),
  ...rows(same("--health-timeout"), { VSM: "health-check-timeout-secs" }),
  ...rows(same("--health-interval"), { VSM: "health-check-interval-secs" }),
  ...rows(same("--health-path"), { VSM: "health-check-endpoint" }),
  ...rows(maxConcurrent, { VSM: "max-concurrent-requests" }),
  ...rows(same("--queue-timeout"), { VSM: "queue-timeout-secs" }),
  ...rows(same("--drain-timeout"), { SM: "shutdown-grace-period-secs" }),
  ...rows(same("--tls-cert"), { SM: "tls-cert-path" }),
  ...rows(same("--tls-key"), { SM: "tls-key-path" }),
  ...rows(same("--body-timeout"), { M: "stream-body-stall-timeout-secs" }),
  ...rows(same("--metrics-interval"), { M: "load-monitor-interval" }),
  ...rows(same("--sse-keepalive"), { M: "sse-keepalive-secs" }),
  ...rows(keepAlive, { M: "idle-connection-timeout-secs" }),
  ...rows(prometheusPort, { VSM: "prometheus-port" }),
  ...rows(same("--metrics-host"), { VSM: "prometheus-host" }),
  ...rows({ kind: "ours", as: () => ({ words: ["--log-format", "json"] }) }, { M: "log-json?" }),
  ...rows(
    { kind: "ours", as: () => ({ words: ["--sticky"] }) },
    {
      M: "routing-key-override? sticky-sessions?",
    },
  ),
  ...rows(same("--session-header"), { M: "routing-key-headers*" }),
  ...rows(same("--session-timeout"), { SM: "max-idle-secs sticky-key-idle-secs" }),
  ...rows(assignment, { SM: "assignment-mode" }),
  ...rows(same("--allowed-origins"), { VSM: "cors-allowed-origins*" }),
  ...rows(ranks, { V: "intra-node-data-parallel-size" }),
  ...rows(backend, { SM: "backend" }),
  ...rows(history, { SM: "history-backend" }),
];
