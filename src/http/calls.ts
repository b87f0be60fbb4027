import { fieldOf } from "../core/engine/engine-facts.ts";
import { ROLES } from "../core/engine/roles.ts";
import { ProxyError } from "../core/errors.ts";
import type { Node } from "../core/pool/node.ts";
import { fanOut, type NodeAnswer } from "../upstream/fan-out.ts";
import { nodeNamed } from "./nodes.ts";
import type { Services } from "./services.ts";
import { unhurried } from "./unhurried.ts";

/** Something that is to be called at nodes, on an administrator's word. */
export interface NodeCall {
  readonly method: "GET" | "POST";
  /** Path and query at each engine. */
  readonly target: string;
  /** Sent as it is, as JSON; empty for none. */
  readonly json: string;
  /** One node alone, as it may be named; null for all. */
  readonly url: string | null;
  /** Only nodes that serve this; null for all. */
  readonly model: string | null;
  /** Limit of each node's answer, ms. */
  readonly timeoutMs: number;
}

/** Nodes that are called at the same time. */
const AT_ONCE = 32;
/** More of a node's answer is not read: all of them stay in memory until the last is there. */
const MAX_BYTES = 1024 * 1024;
const MAX_BYTES_IN_ALL = 64 * 1024 * 1024;
/** Less JSON than this is never nested too deeply to be written again: 60,000 brackets are, and as many that close. */
const MOST_SHALLOW = 32 * 1024;

/**
 * Calls it at all nodes (or one, or those of a model) and tells what each answered: 200 when all did
 * well, 207 when some did, 502 when none did.
 * @param more Further fields of the answer, by how many nodes there are and how many did well.
 * @throws ProxyError when no node is meant.
 */
export async function callNodes(
  call: NodeCall,
  request: Request,
  services: Services,
  more: (total: number, succeeded: number) => object = () => ({}),
): Promise<Response> {
  const nodes = nodesOf(call, request, services);
  const { registry } = services;
  if (ABORTING.has(pathOf(call))) for (const node of nodes) registry.learning.aborted(node);
  const answers = await unhurried(request, services, async () => {
    const all = await askNodes(nodes, call, services);
    await learn(call, all, services);
    return all;
  });
  return answerOf(answers, isNothingToDo(call, answers), more);
}

/**
 * Asks nodes whether they sleep: one answer with the one word that an engine's own has, true as long as
 * one of them does, and with what each said. An engine without the question cannot sleep.
 * @throws ProxyError when no node is meant, or none of them knows the question.
 */
export async function askWhetherAsleep(
  call: NodeCall,
  request: Request,
  services: Services,
): Promise<Response> {
  const nodes = nodesOf(call, request, services);
  const answers = await unhurried(request, services, () => askNodes(nodes, call, services));
  if (answers.every(isUnknown)) {
    throw new ProxyError(
      "not_found",
      "No node has /is_sleeping. vLLM has it with VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode; " +
        "what the proxy knows of each node is in /nodes/status.",
    );
  }
  const sleeping = answers.filter((one) => saysAsleep(one) === true).length;
  return answerOf(
    answers,
    isUnknown,
    // Where none said, nothing may look like a word.
    (_, said) => (said === 0 ? {} : { is_sleeping: sleeping > 0, sleeping }),
    (one) => saysAsleep(one) !== null,
  );
}

function isUnknown({ answer }: NodeAnswer): boolean {
  return "status" in answer && (answer.status === 404 || answer.status === 405);
}

/** Null for one that did not say. */
function saysAsleep(one: NodeAnswer): boolean | null {
  if (!("status" in one.answer) || !didWell(one)) return null;
  const said = fieldOf(one.answer.body, "is_sleeping");
  return said === "true" ? true : said === "false" ? false : null;
}

function askNodes(
  nodes: readonly Node[],
  call: NodeCall,
  { engineHeaders, fetch, now }: Services,
): Promise<NodeAnswer[]> {
  return fanOut(nodes, {
    method: call.method,
    target: call.target,
    // LMDeploy's /sleep wants a content type although it takes no body.
    ...(call.method === "GET" ? {} : { json: call.json }),
    timeoutMs: call.timeoutMs,
    maxBytes: Math.min(MAX_BYTES, Math.floor(MAX_BYTES_IN_ALL / nodes.length)),
    headers: engineHeaders,
    fetch,
    atOnce: AT_ONCE,
    now,
  });
}

/** What ends requests that run: by name, or (vLLM, SGLang) unless told otherwise. */
const ABORTING: ReadonlySet<string> = new Set([
  "/abort_request",
  "/abort_requests",
  "/pause",
  "/pause_generation",
]);

function pathOf({ target }: NodeCall): string {
  return target.split("?", 1)[0] ?? "";
}

function nodesOf(call: NodeCall, request: Request, services: Services): readonly Node[] {
  const { registry, peers, aliases } = services;
  const { url } = call;
  const model = call.model === null ? null : aliases.ownName(call.model);
  if (url !== null) {
    const node = registry.get(nodeNamed(url, peers.of(request).address, services));
    if (node !== undefined) return [node];
    throw new ProxyError("not_found", `${url} is not registered; see /nodes/status.`, {
      param: "url",
    });
  }
  const nodes =
    model === null ? registry.nodes() : ROLES.flatMap((role) => registry.serving(model, role));
  if (nodes.length > 0) return nodes;
  if (model !== null && registry.nodes().length > 0) {
    throw new ProxyError("model_not_found", `No node serves the model \`${call.model}\`.`, {
      param: "model",
    });
  }
  throw new ProxyError("service_unavailable", "There is no node to call; see /nodes/status.", {
    retryAfterS: 1,
  });
}

function isAnswered({ answer }: NodeAnswer): boolean {
  return "status" in answer;
}

function didWell({ answer }: NodeAnswer): boolean {
  return "status" in answer && answer.status >= 200 && answer.status < 300;
}

/** What the call changed is known at once, and not when a probe finds out. */
async function learn(call: NodeCall, answers: readonly NodeAnswer[], services: Services) {
  const { registry, discovery } = services;
  const path = pathOf(call);
  const query = call.target.slice(path.length + 1);
  const well = answers.filter(didWell).map(({ node }) => node);
  if (path === "/sleep") for (const node of well) registry.learning.told(node, "asleep");
  // Woken in parts, it is for the engine to say when it is awake.
  if (/^\/wake_?up$/.test(path) && !/(?:^|&)tags=/.test(query)) {
    for (const node of well) registry.learning.told(node, "awake");
  }
  if (/^(?:\/v1)?\/(?:un)?load_lora_adapter$/.test(path)) {
    // Also where it was refused: an engine that has it already may have more than is known here.
    await Promise.all(
      answers.filter(isAnswered).map(({ node }) => discovery.stillServes(node, "")),
    );
  }
}

/** An abort by name finds what it names at one node: the others have nothing to do (LMDeploy says 400 then). */
function isNothingToDo(
  call: NodeCall,
  answers: readonly NodeAnswer[],
): (one: NodeAnswer) => boolean {
  if (pathOf(call) !== "/abort_request" || !answers.some(didWell)) return () => false;
  return ({ answer }) => "status" in answer && (answer.status === 400 || answer.status === 404);
}

/** @param isNoFailure of a node that did not do well. */
function answerOf(
  answers: readonly NodeAnswer[],
  isNoFailure: (one: NodeAnswer) => boolean,
  more: (total: number, succeeded: number) => object,
  isWell: (one: NodeAnswer) => boolean = didWell,
): Response {
  const succeeded = answers.filter(isWell).length;
  const failed = answers
    .filter((one) => !isWell(one) && !isNoFailure(one))
    .map(({ node }) => node.url);
  const results = answers.map((one) => [one.node.url, resultOf(one)]);
  const status = failed.length === 0 ? 200 : succeeded === 0 ? 502 : 207;
  return Response.json(
    {
      ...more(answers.length, succeeded),
      total: answers.length,
      succeeded,
      failed,
      results: Object.fromEntries(results),
    },
    { status },
  );
}

function resultOf({ answer, tookMs }: NodeAnswer) {
  const latency_ms = Math.round(tookMs);
  return "status" in answer
    ? { status: answer.status, latency_ms, body: jsonOr(answer.body) }
    : { status: null, latency_ms, error: answer.detail };
}

/** JSON as such; as text all else, and what is nested so deeply that it cannot be written again. */
function jsonOr(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (text.length > MOST_SHALLOW) JSON.stringify(value);
    return value;
  } catch {
    return text;
  }
}
