import { MergedMetrics } from "../../core/engine/merged-metrics.ts";
import type { Node } from "../../core/pool/node.ts";
import { fanOut, type NodeAnswer } from "../../upstream/fan-out.ts";
import { failures } from "../docs/errors.ts";
import { PLAIN_METRICS, packed } from "../metrics-response.ts";
import type { Services } from "../services.ts";
import { route } from "./route.ts";

/** Nodes that are asked at the same time. */
const AT_ONCE = 32;
/** For one node's page. Prometheus gives up after 10 s unless told otherwise, ms. */
const TIMEOUT_MS = 3_000;
/** After so long no more nodes are asked, ms. */
const ASKS_FOR_MS = 6_000;
/** Of one node; an engine with many models and histograms shows some hundred KB. */
const MOST_PAGE_BYTES = 2 * 1024 * 1024;
const MOST_CHARACTERS = 64 * 1024 * 1024;

const EXAMPLE =
  "# HELP vllm:num_requests_running Number of requests in model execution batches.\n" +
  "# TYPE vllm:num_requests_running gauge\n" +
  'vllm:num_requests_running{node="http://10.0.0.7:23333",engine="0",model_name="m"} 4.0\n';

/** What engines count, on one page: for whoever cannot scrape each of them. */
export const engineMetricsRoutes = [
  route({
    method: "GET",
    path: "/engine_metrics",
    who: "administrator",
    detail: {
      tags: ["Operation"],
      operationId: "getEngineMetrics",
      summary: "Metrics of all engines on one page, for Prometheus",
      description:
        "Read from each node's own `/metrics` now: families under their own names, each series with a " +
        "label `node`. `lmproxy_engine_metrics_read` is 0 for a node whose page could not be had.",
      responses: {
        "200": {
          description: "The page",
          content: { "text/plain": { schema: { type: "string" }, example: EXAMPLE } },
        },
        ...failures(["invalid_api_key", "forbidden", "internal_error"]),
      },
    },
    answer: async ({ request }, services) => {
      // Those who ask at the same time share one: it may be large.
      const answer = await services.sharedQuestions.answer("/engine_metrics", async () => ({
        status: 200,
        body: await enginesPage(services),
      }));
      return await packed(request, "body" in answer ? answer.body : "", PLAIN_METRICS);
    },
  }),
];

async function enginesPage(services: Services): Promise<string> {
  const { registry, now } = services;
  const nodes = registry.nodes();
  const listening = nodes.filter(({ health }) => health.listens);
  const merged = new MergedMetrics(MOST_CHARACTERS);
  const read = new Set<Node>();
  const until = now() + ASKS_FOR_MS;
  for (let at = 0; at < listening.length && now() < until; at += AT_ONCE) {
    for (const one of await pagesOf(listening.slice(at, at + AT_ONCE), "/metrics", services)) {
      const page = pageOf(one);
      if (page === null || merged.isFull) continue;
      for (const _ of merged.add(one.node.url, page)) await turn(services);
      if (!merged.isFull) read.add(one.node);
    }
  }
  const pieces: string[] = [];
  for (const family of merged.families()) {
    pieces.push(family);
    await turn(services);
  }
  return [...pieces, readFamily(nodes, read)].join("");
}

/** Mounted applications have it behind a slash: those are asked again. */
async function pagesOf(
  nodes: readonly Node[],
  target: string,
  { engineHeaders: headers, fetch, now }: Services,
): Promise<NodeAnswer[]> {
  const limits = { timeoutMs: TIMEOUT_MS, maxBytes: MOST_PAGE_BYTES, atOnce: AT_ONCE };
  const options = { ...limits, headers, fetch, now };
  const answers = await fanOut(nodes, { ...options, target });
  const moved = answers.filter(isMoved).map(({ node }) => node);
  if (moved.length === 0) return answers;
  const again = await fanOut(moved, { ...options, target: `${target}/` });
  return [...answers.filter((one) => !isMoved(one)), ...again];
}

function isMoved({ answer }: NodeAnswer): boolean {
  return "status" in answer && answer.status >= 300 && answer.status < 400;
}

function pageOf({ answer }: NodeAnswer): string | null {
  return "status" in answer && answer.status === 200 ? answer.body : null;
}

function readFamily(nodes: readonly Node[], read: ReadonlySet<Node>): string {
  const name = "lmproxy_engine_metrics_read";
  const lines = nodes.map((node) => `${name}{node="${node.url}"} ${read.has(node) ? 1 : 0}\n`);
  return `# HELP ${name} Whether a node's own metrics are on this page.\n# TYPE ${name} gauge\n${lines.join("")}`;
}

function turn({ bodyLimits }: Services): Promise<void> {
  return new Promise(bodyLimits.soon);
}
