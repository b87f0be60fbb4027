import { listed, shuttingDown, unknownModel } from "../core/admission/refusals.ts";
import { ProxyError } from "../core/errors.ts";
import { CANCELLED, CLIENT_GONE, type Exchange } from "../core/exchange.ts";
import { requestHeaders } from "../core/headers.ts";
import { serveTheSame } from "../core/pool/model-index.ts";
import type { Registry } from "../core/pool/registry.ts";
import { NOTHING_ASKED } from "../core/strategies/strategy.ts";
import { type PieceByPiece, Reply } from "../upstream/reply.ts";
import { isCancelled } from "../upstream/request.ts";
import { dialectOf, nameForAnthropic } from "./dialect.ts";
import { errorResponse, unexpectedError } from "./error-response.ts";
import { keptRequest } from "./kept.ts";
import { knownModels } from "./models.ts";
import type { Peer } from "./peers.ts";
import { letGo, readBody } from "./read-body.ts";
import { readHead } from "./read-head.ts";
import { pathOf, targetOf } from "./request-target.ts";
import type { InferenceRoute } from "./routes/route.ts";
import { methodNotAllowed } from "./routes/table.ts";
import type { Services } from "./services.ts";

/**
 * One inference request from the client's bytes to the engine's: who asks, for which model, then on
 * to the serving strategy. Never rejects.
 */
export function infer(
  request: Request,
  route: InferenceRoute,
  services: Services,
): Promise<Response> {
  const target = targetOf(request, route.sendsTo);
  const id = services.ids.of(request.headers);
  const exchange = services.exchanges.begin(id, request, route.path);
  const answering = answer(exchange, target, route, services);
  const { sseKeepalive } = services;
  return sseKeepalive === null
    ? answering.then((answered) => respond(answered, exchange, target, services))
    : respondInTime(answering, sseKeepalive, exchange, target, services);
}

function respond(
  answered: Reply | ProxyError,
  exchange: Exchange,
  target: string,
  { as, exposesNode }: Services,
): Response {
  const { id, request } = exchange;
  const response =
    answered instanceof Reply
      ? responseOf(answered)
      : errorResponse(answered, dialectOf(pathOf(target), request.headers), id, as);
  if (exposesNode) nameNode(response.headers, exchange);
  return response;
}

/** The same, but for a stream whose first word does not come in time: that begins without it. */
async function respondInTime(
  answering: Promise<Reply | ProxyError>,
  keepalive: NonNullable<Services["sseKeepalive"]>,
  exchange: Exchange,
  target: string,
  services: Services,
): Promise<Response> {
  if (await keepalive.isDue(answering, exchange)) {
    return keepalive.begin(answering, exchange, target);
  }
  return respond(await answering, exchange, target, services);
}

/** Never rejects; the exchange ends with the reply. */
async function answer(
  exchange: Exchange,
  target: string,
  route: InferenceRoute,
  services: Services,
): Promise<Reply | ProxyError> {
  const { id, request, signal } = exchange;
  const { headers } = request;
  let sent: Uint8Array | null = null;
  let copiedBytes = 0;
  const { memory } = services.bodyLimits;
  try {
    await services.arriving.join();
    exchange.trace = services.beginTrace?.(exchange) ?? null;
    // It may have been cancelled meanwhile.
    signal.throwIfAborted();
    const peer = services.peers.of(request);
    const client = services.access.admit(route.who, request, peer);
    exchange.client = client;
    assureTakes(request, target, route, services);
    services.departures.watch(exchange);
    sent = await readBody(request, services.bodyLimits, exchange);
    exchange.read(sent.length);
    const type = headers.get("content-type");
    const isLookup = route.asksFor !== undefined;
    const reading = isLookup
      ? { head: null, body: sent, model: null, called: null }
      : readHead(sent, type, services.aliases.ownName, services.bodyLimits.soon);
    const { head, body, model, called } = reading instanceof Promise ? await reading : reading;
    exchange.model = model;
    exchange.stream = head?.stream === true;
    // An engine may have learned the model since it was asked last, or is about to say what it serves.
    if (model !== null && !serves(model, services) && !isAnyones(services)) {
      await services.discovery.find(model);
      if (!serves(model, services) && !isAnyones(services)) {
        throw unknownModel({ model, called }, knownModels(services));
      }
    }
    // Draining may have begun while the body came, and nobody would wait for what starts now.
    if (!services.lifecycle.open) throw shuttingDown();
    // What came is of no more use then.
    if (body !== sent) {
      letGo(sent, memory);
      sent = null;
      memory.take(body.length);
      sent = body;
    }
    memory.take(services.mode.bodyCopies * body.length);
    copiedBytes = services.mode.bodyCopies * body.length;
    // It may be begun before its engine has said how it packs it: then it has to be plain.
    if (services.sseKeepalive !== null && exchange.stream) {
      headers.set("accept-encoding", "identity");
    }
    const kept = keptRequest(target, route, body, head, services);
    const reply = await services.mode.dispatch({
      exchange,
      method: route.method,
      target,
      headers: engineHeaders(headers, peer, id, services),
      body,
      model: isLookup ? null : routedModel(model, services),
      called,
      head,
      kept,
      asked: isLookup
        ? { ...NOTHING_ASKED, client, kept: "lookup" }
        : {
            ...services.readPrompt(headers, body, head),
            stream: exchange.stream,
            client,
            kept: kept?.refersTo === true ? "goesOn" : null,
          },
    });
    nameForAnthropic(reply.headers, dialectOf(target, headers), id);
    if (reply.end !== null) await services.leaving.join();
    if (signal.aborted && !isCancelled(signal)) exchange.end(CLIENT_GONE);
    else if (reply.end !== null) exchange.end(reply.end);
    return reply;
  } catch (error) {
    const path = pathOf(target);
    const shown =
      error instanceof ProxyError ? error : unexpectedError(error, services.log, { id, path });
    endRefused(exchange, shown);
    return shown;
  } finally {
    memory.give(copiedBytes);
    if (sent !== null) letGo(sent, memory);
  }
}

/** Before anything of its body is read. @throws ProxyError why the proxy does not take this request now. */
function assureTakes(
  { method, headers }: Request,
  target: string,
  route: InferenceRoute,
  services: Services,
): void {
  // Elysia answers HEAD by what answers GET.
  if (method !== route.method) {
    throw methodNotAllowed(pathOf(target), method, [route.method, "OPTIONS"]);
  }
  route.assureForwarded?.(pathOf(target));
  refuseLoop(headers, services.via);
  if (!services.lifecycle.open) throw shuttingDown();
  services.openFiles.assureSome();
  services.mode.assureServed(pathOf(target));
}

/** What an engine gets of a client's headers, and who sent them by which proxy. */
function engineHeaders(
  headers: Headers,
  { socketAddress, isTrustedProxy }: Peer,
  requestId: string,
  services: Services,
): Headers {
  return requestHeaders(headers, {
    peerAddress: socketAddress,
    continues: isTrustedProxy,
    via: services.via,
    maxBytes: services.maxHeaderBytes,
    proto: services.proto,
    host: headers.get("host"),
    requestId,
    upstreamApiKey: services.upstreamApiKey(),
    stripCredentials: services.access.areOurs(headers),
  });
}

/** Ends it with what its client gets, or would have got. */
function endRefused(exchange: Exchange, { status, kind, options }: ProxyError): void {
  if (exchange.request.signal.aborted) {
    exchange.end(CLIENT_GONE);
    return;
  }
  const { rejection } = options;
  exchange.head(status);
  exchange.end(
    rejection === "cancelled" ? CANCELLED : { how: "refused", error: kind, reason: rejection },
  );
}

function nameNode(headers: Headers, { answeredBy, tries }: Exchange): void {
  const by = answeredBy ?? tries.at(-1);
  if (by !== undefined) headers.set("x-lmproxy-node", by.node.url);
  headers.set("x-lmproxy-attempts", String(tries.length));
}

function responseOf({ status, headers, body }: Reply): Response {
  return new Response(body === null ? null : sendable(body, headers), { status, headers });
}

function sendable(body: Uint8Array | PieceByPiece, headers: Headers) {
  if (!(body instanceof Uint8Array)) return direct(body);
  // Of bytes without a type Bun would say that they are application/octet-stream; of a stream it says nothing.
  return headers.get("content-type") ? body : direct(atOnce(body));
}

function direct(source: Pick<PieceByPiece, "pull">): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({ type: "direct", ...source });
}

function atOnce(bytes: Uint8Array): Pick<PieceByPiece, "pull"> {
  return {
    async pull(sink) {
      sink.write(bytes);
      sink.close();
    },
  };
}

/** @throws ProxyError loop_detected when this proxy has sent the request itself. */
function refuseLoop(headers: Headers, via: string): void {
  if (headers.get("via")?.includes(via) !== true) return;
  throw new ProxyError(
    "loop_detected",
    "This request has been here before: a node of this proxy, or one behind it, leads back to it. " +
      "See /nodes/status, and take that node out.",
  );
}

/** A body that names no model may go anywhere while all nodes serve the same, adapters aside. */
function anyModel(services: Services): null {
  if (serveTheSame(services.registry.nodes())) return null;
  throw new ProxyError(
    "invalid_request",
    `Name one of the models in \`model\`: ${listed(knownModels(services).models())}.`,
    { param: "model" },
  );
}

/** Null: any node may have it. */
function routedModel(model: string | null, services: Services): string | null {
  if (model === null) return anyModel(services);
  return !serves(model, services) && isAnyones(services) ? null : servedName(model, services);
}

/**
 * Whether a model that no engine lists is for the engines to judge, as in vllm-router and sglang-router:
 * not as long as some have not said what they serve, nor where it makes a difference who is asked.
 */
function isAnyones({ as, registry }: Services): boolean {
  if (as !== "vllm-router" && as !== "sglang-router") return false;
  const nodes = registry.nodes();
  return nodes.every(({ saysModels }) => saysModels) && serveTheSame(nodes);
}

function serves(model: string, services: Services): boolean {
  return services.registry.serves(servedName(model, services));
}

/**
 * SGLang's clients ask for an adapter as `served:adapter`: of the nodes that list it by its own name, or, where
 * none does, of any that serves the first.
 */
function servedName(model: string, { registry }: Services): string {
  const colon = model.lastIndexOf(":");
  if (colon <= 0 || registry.serves(model)) return model;
  return adaptersName(model.slice(0, colon), model.slice(colon + 1), registry) ?? model;
}

/** Null where no node serves `base` that takes adapters so. */
function adaptersName(base: string, adapter: string, registry: Registry): string | null {
  const nodes = registry
    .nodes()
    .filter(({ engine, models }) => engine === "sglang" && models.includes(base));
  if (nodes.length === 0) return null;
  return nodes.some(({ cards }) => cards.get(adapter)?.parent === base) ? adapter : base;
}
