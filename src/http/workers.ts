import type { Role } from "../core/engine/roles.ts";
import { ProxyError } from "../core/errors.ts";
import type { Node } from "../core/pool/node.ts";
import { addNode, nodeNamed } from "./nodes.ts";
import type { Services } from "./services.ts";

/** A registration is answered when its node can be routed to, and at the latest after this, ms. */
const ADD_WAIT_MS = 2_000;

const TYPES: Readonly<Record<Role, string>> = {
  Hybrid: "regular",
  Prefill: "prefill",
  Decode: "decode",
};

/** The same for the same URL, also after a restart; of a UUID's form, which some clients check. */
export function workerId(url: string): string {
  const hex = Bun.CryptoHasher.hash("sha256", url, "hex");
  return [8, 12, 16, 20, 32].map((end, at) => hex.slice([0, 8, 12, 16, 20][at], end)).join("-");
}

/** A node as vllm-router, sglang-router and smg show their workers. */
export function workerOf(node: Node) {
  return {
    id: workerId(node.url),
    url: node.url,
    model_id: node.models[0] ?? "unknown",
    models: [...node.models],
    worker_type: TYPES[node.role],
    is_healthy: node.health.state === "healthy",
    status: node.health.state,
    load: node.inFlight,
    connection_mode: "Http",
    runtime_type: node.engine,
    priority: 50,
    cost: 1,
    metadata: {},
    labels: {},
    disable_health_check: false,
  };
}

export function workerList(nodes: readonly Node[]) {
  const count = (role: Role) => nodes.filter((node) => node.role === role).length;
  return {
    workers: nodes.map(workerOf),
    total: nodes.length,
    stats: {
      prefill_count: count("Prefill"),
      decode_count: count("Decode"),
      regular_count: count("Hybrid"),
    },
  };
}

export interface NewWorker {
  readonly url: string;
  readonly worker_type?: string | null;
  readonly model_id?: string | null;
}

/** Registers it; `routable` says whether the first probe passed within two seconds. @throws ProxyError */
export async function addWorker(
  { url, worker_type, model_id }: NewWorker,
  peerAddress: string | null,
  services: Services,
): Promise<{ readonly node: Node; readonly routable: boolean }> {
  const role = roleOf(worker_type ?? "regular");
  await addNode({ url, role, models: model_id ? [model_id] : [] }, peerAddress, services);
  const node = services.registry.get(nodeNamed(url, peerAddress, services));
  if (node === undefined) throw new ProxyError("internal_error", `${url} did not join.`);
  return { node, routable: await becomesRoutable(node, services) };
}

function roleOf(type: string): Role {
  switch (type.toLowerCase()) {
    case "regular":
      return "Hybrid";
    case "prefill":
      return "Prefill";
    case "decode":
      return "Decode";
  }
  throw new ProxyError("invalid_request", "A worker_type is regular, prefill or decode.", {
    param: "worker_type",
  });
}

async function becomesRoutable(node: Node, { registry, after }: Services): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const look = () => {
    if (node.health.state === "healthy" && node.models.length > 0) resolve(true);
  };
  const unsubscribe = registry.subscribe({ stateChanged: look, membershipChanged: look });
  const cancel = after(ADD_WAIT_MS, () => resolve(false));
  look();
  const routable = await promise;
  unsubscribe();
  cancel();
  return routable;
}

/** The node of an id of ours, or of a URL in any spelling. @throws ProxyError not_found */
export function workerNamed(name: string, peerAddress: string | null, services: Services): Node {
  const { registry } = services;
  const node = name.includes("://")
    ? registry.get(nodeNamed(name, peerAddress, services))
    : registry.nodes().find(({ url }) => workerId(url) === name);
  if (node !== undefined) return node;
  throw new ProxyError("not_found", "There is no such worker; see GET /workers.", { param: "id" });
}
