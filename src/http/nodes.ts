import { NODE_NAME } from "../core/address/node-name.ts";
import { readRole } from "../core/engine/roles.ts";
import { ProxyError } from "../core/errors.ts";
import type { Node, Registration } from "../core/pool/node.ts";
import { ask } from "../upstream/ask.ts";
import { nodeStatus } from "./node-status.ts";
import type { AddNodeBody } from "./schemas.ts";
import type { Services } from "./services.ts";

const TERMINATE_TIMEOUT_MS = 5_000;
const TERMINATE_MAX_BYTES = 64 * 1024;

/**
 * Registers a node; answers before its engine does, which may not listen yet. With DistServe that is
 * made use of: one that is known is asked before it is answered, and refuses if it is a new process.
 */
export async function addNode(body: AddNodeBody, peerAddress: string | null, services: Services) {
  const url = services.nodePolicy.accept(body.url, peerAddress);
  const registration = readRegistration(body);
  const refused = services.mode.refusal(registration.role);
  if (refused !== null) throw new ProxyError("invalid_request", refused, { param: "role" });
  refuseTakenName(registration.name ?? null, url, services);
  const given = body.url.replace(/\/+$/, "");
  const node = services.registry.membership.register(url, {
    ...registration,
    registeredAs: given === url ? null : given,
  });
  await services.mode.disaggregated?.identified(node);
  return { message: `Added ${node.url}; it gets requests as soon as its health probe passes.` };
}

function readRegistration(body: AddNodeBody): Registration {
  const speed = body.status?.speed ?? body.speed ?? null;
  return {
    models: body.status?.models ?? body.models ?? [],
    role: readRole(body.status?.role ?? body.role ?? "Hybrid") ?? "Hybrid",
    speed: speed !== null && speed > 0 && Number.isFinite(speed) ? speed : null,
    name: body.status?.name ?? body.name ?? null,
  };
}

function refuseTakenName(name: string | null, url: string, { registry }: Services): void {
  const bearer = name === null ? undefined : registry.membership.byName(name);
  if (bearer === undefined || bearer.url === url) return;
  throw new ProxyError(
    "invalid_request",
    `${bearer.url} is called ${name}: choose another name, or remove that node first.`,
    { param: "name" },
  );
}

/** Takes a node out, known or not; its running requests finish. */
export function removeNode(url: string, peerAddress: string | null, services: Services) {
  const node = services.registry.membership.remove(nodeNamed(url, peerAddress, services));
  return { message: node === undefined ? `${url} was not registered.` : `Removed ${node.url}.` };
}

/** No new requests for a node; those it has go on. @throws ProxyError not_found */
export function drainNode(url: string, peerAddress: string | null, services: Services) {
  const node = services.registry.membership.drain(nodeNamed(url, peerAddress, services));
  if (node === undefined) throw unknownNode(url);
  return { state: node.health.state, unfinished: node.inFlight };
}

/** A drained node gets requests again, once its probe passes. @throws ProxyError not_found */
export function undrainNode(url: string, peerAddress: string | null, services: Services) {
  const node = services.registry.membership.undrain(nodeNamed(url, peerAddress, services));
  if (node === undefined) throw unknownNode(url);
  return { state: node.health.state, unfinished: node.inFlight };
}

/** All there is to say of a node. @throws ProxyError not_found */
export async function showNode(url: string, peerAddress: string | null, services: Services) {
  const { registry, mode, now, nodeFigures, nodeFailures } = services;
  const node = registry.get(nodeNamed(url, peerAddress, services));
  if (node === undefined) throw unknownNode(url);
  const figures = (await nodeFigures()).get(node);
  const failures = await nodeFailures(node);
  return {
    url: node.url,
    ...nodeStatus(node, mode.disaggregated, now(), figures),
    failures: [...failures],
  };
}

/** @throws ProxyError not_found, or upstream_error when the engine refuses; the node is out all the same. */
export async function terminateNode(url: string, peerAddress: string | null, services: Services) {
  const node = services.registry.membership.remove(nodeNamed(url, peerAddress, services));
  if (node === undefined) throw unknownNode(url);
  const refused = await terminateEngine(node, services);
  if (refused !== null) throw new ProxyError("upstream_error", refused);
  return { message: `Removed ${node.url} and ended its engine.` };
}

/**
 * The URL that a node has here, looked up by its name, by any spelling of its URL or by the one it
 * registered with: an engine on 0.0.0.0 is known by its peer's address, and whoever looks for it may be another peer.
 * @throws ProxyError invalid_request when several nodes registered so, not_found for an unknown name.
 */
export function nodeNamed(url: string, peerAddress: string | null, services: Services): string {
  const { nodePolicy, registry } = services;
  if (NODE_NAME.test(url)) {
    const called = registry.membership.byName(url);
    if (called !== undefined) return called.url;
    throw new ProxyError("not_found", `No node is called ${url}; see /nodes/status.`, {
      param: "url",
    });
  }
  const normal = nodePolicy.normalise(url, peerAddress);
  if (registry.get(normal) !== undefined) return normal;
  const named = registry.nodes().filter((node) => node.registeredAs === url.replace(/\/+$/, ""));
  const [only, ...more] = named.map((node) => node.url);
  if (more.length === 0) return only ?? normal;
  throw new ProxyError(
    "invalid_request",
    `${named.length} nodes registered as ${url}: name one of ${named.map((node) => node.url).join(", ")}.`,
    { param: "url" },
  );
}

/**
 * All nodes by the names under which LMDeploy's proxy would have them: those they registered with, as
 * long as they are no other node's.
 */
export function byRegisteredName(nodes: readonly Node[]): (readonly [name: string, node: Node])[] {
  return nodes.map((node) => {
    const name = node.registeredAs;
    const isUnique = nodes.every(
      (other) => other === node || (other.registeredAs !== name && other.url !== name),
    );
    return [name !== null && isUnique ? name : node.url, node];
  });
}

function unknownNode(url: string): ProxyError {
  return new ProxyError("not_found", `${url} is not registered; see /nodes/status.`, {
    param: "url",
  });
}

/** @throws ProxyError upstream_error when an engine refuses; all nodes are out all the same. */
export async function terminateAll(services: Services) {
  const nodes = services.registry.nodes();
  for (const node of nodes) services.registry.membership.remove(node.url);
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
    fetch: services.fetch,
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
