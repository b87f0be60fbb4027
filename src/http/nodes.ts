import { ProxyError } from "../core/errors.ts";
import type { Node, Registration } from "../core/node.ts";
import { normaliseNodeUrl } from "../core/node-url.ts";
import { ask } from "../upstream/ask.ts";
import { readRole } from "./node-status.ts";
import type { AddNodeBody } from "./schemas.ts";
import type { Services } from "./services.ts";

const TERMINATE_TIMEOUT_MS = 5_000;
const TERMINATE_MAX_BYTES = 64 * 1024;

/** Registers a node; answers before anything is asked of its engine, which may not listen yet. */
export function addNode(body: AddNodeBody, peerAddress: string | null, services: Services) {
  const url = normaliseNodeUrl(body.url, { peerAddress });
  const refused = services.refuseNode(url);
  if (refused !== null) throw new ProxyError("invalid_request", refused, { param: "url" });
  const node = services.registry.register(url, readRegistration(body));
  return { message: `Added ${node.url}; it gets requests as soon as its health probe passes.` };
}

function readRegistration(body: AddNodeBody): Registration {
  const speed = body.status?.speed ?? body.speed ?? null;
  return {
    models: body.status?.models ?? body.models ?? [],
    role: readRole(body.status?.role ?? body.role),
    speed: speed !== null && speed > 0 && Number.isFinite(speed) ? speed : null,
  };
}

/** Takes a node out, known or not; its running requests finish. */
export function removeNode(url: string, { registry }: Services) {
  const node = registry.remove(normaliseNodeUrl(url, {}));
  return { message: node === undefined ? `${url} was not registered.` : `Removed ${node.url}.` };
}

/** @throws ProxyError not_found, or upstream_error when the engine refuses; the node is out all the same. */
export async function terminateNode(url: string, services: Services) {
  const node = services.registry.remove(normaliseNodeUrl(url, {}));
  if (node === undefined) {
    throw new ProxyError("not_found", `${url} is not registered; see /nodes/status.`, {
      param: "url",
    });
  }
  const refused = await terminateEngine(node, services);
  if (refused !== null) throw new ProxyError("upstream_error", refused);
  return { message: `Removed ${node.url} and ended its engine.` };
}

/** @throws ProxyError upstream_error when an engine refuses; all nodes are out all the same. */
export async function terminateAll(services: Services) {
  const nodes = services.registry.nodes();
  for (const node of nodes) services.registry.remove(node.url);
  const refusals = await Promise.all(nodes.map((node) => terminateEngine(node, services)));
  const refused = refusals.filter((refusal) => refusal !== null);
  if (refused.length > 0) throw new ProxyError("upstream_error", refused.join(" "));
  return { message: `Removed ${nodes.length} nodes and ended their engines.` };
}

async function terminateEngine(node: Node, services: Services): Promise<string | null> {
  const answer = await ask(`${node.url}/terminate`, {
    timeoutMs: TERMINATE_TIMEOUT_MS,
    maxBytes: TERMINATE_MAX_BYTES,
    headers: services.engineHeaders,
    fetch,
  });
  if ("kind" in answer) {
    return `Removed ${node.url}, but its engine could not be asked to end: ${answer.detail}.`;
  }
  if (answer.status >= 200 && answer.status < 300) return null;
  return (
    `Removed ${node.url}, but its engine refused to end (${answer.status}); ` +
    "start it with --allow-terminate-by-client."
  );
}
