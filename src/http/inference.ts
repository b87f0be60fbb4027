import { CONTROL_PLANE_FIELDS, stripMembers } from "../core/body-edit.ts";
import { ProxyError } from "../core/errors.ts";
import { requestHeaders } from "../core/headers.ts";
import { multipartModel } from "../core/multipart.ts";
import { listed, shuttingDown } from "../core/refusals.ts";
import {
  type RequestHead,
  scanRequestHead,
  scanRequestHeadInSlices,
} from "../core/request-head.ts";
import { requestId } from "../core/request-id.ts";
import { finalErrorEvent } from "../core/sse-tail.ts";
import { dialectOf, errorResponse, unexpectedError } from "./error-response.ts";
import { readBody } from "./read-body.ts";
import { pathOf } from "./request-target.ts";
import type { Services } from "./services.ts";

/** Larger bodies are scanned in slices, so that other requests get their turn in between. */
const ONE_SLICE_BYTES = 1024 * 1024;

/** What Bun's server knows of a connection. */
export interface Connection {
  /** Address of the peer's socket, or null when it has gone. */
  readonly peerAddress: string | null;
  /** No time limit of the server's own from now on: ours are finer. */
  readonly unlimited: () => void;
  /** The answer is complete: the connection may be closed for idleness again. */
  readonly limited: () => void;
}

/**
 * One inference request from the client's bytes to the engine's: who asks, for which model, then on
 * to the serving strategy. Never rejects.
 */
export async function infer(
  request: Request,
  target: string,
  connection: Connection,
  services: Services,
): Promise<Response> {
  connection.unlimited();
  const id = requestId(request.headers, services.random);
  try {
    return await readAndDispatch(request, target, id, connection, services);
  } catch (error) {
    connection.limited();
    const path = pathOf(target);
    const shown =
      error instanceof ProxyError ? error : unexpectedError(error, services.log, { id, path });
    return errorResponse(shown, dialectOf(path), id);
  }
}

async function readAndDispatch(
  request: Request,
  target: string,
  id: string,
  connection: Connection,
  services: Services,
): Promise<Response> {
  const client = services.access.client(request, connection.peerAddress);
  if (!services.lifecycle.open) throw shuttingDown();
  services.serving.assureServed(pathOf(target));
  const sent = await readBody(request, services.bodyLimits);
  const { head: sentHead, model } = await readHead(request, sent);
  const body = sentHead === null ? sent : stripMembers(sent, sentHead, CONTROL_PLANE_FIELDS);
  // Its positions are those of the body that goes out.
  const head = body === sent ? sentHead : (await readHead(request, body)).head;
  await assureKnown(model, services);
  // Draining may have begun while the body came, and nobody would wait for what starts now.
  if (!services.lifecycle.open) throw shuttingDown();
  return services.serving.dispatch({
    id,
    target,
    headers: requestHeaders(request.headers, {
      peerAddress: connection.peerAddress,
      proto: services.proto,
      host: request.headers.get("host"),
      requestId: id,
      upstreamApiKey: services.upstreamApiKey,
      stripCredentials: services.access.areOurs(request.headers),
    }),
    body,
    model: model ?? onlyModel(services),
    head,
    client,
    signal: request.signal,
    complete: connection.limited,
    lastEvent: (error) => finalErrorEvent(error, target),
  });
}

async function readHead(
  request: Request,
  body: Uint8Array,
): Promise<{ head: RequestHead | null; model: string | null }> {
  const type = request.headers.get("content-type") ?? "";
  if (/^multipart\/form-data\b/i.test(type)) {
    return { head: null, model: multipartModel(body, type) };
  }
  const head =
    body.length <= ONE_SLICE_BYTES
      ? scanRequestHead(body)
      : await scanRequestHeadInSlices(body, () => new Promise((resume) => setImmediate(resume)));
  return { head, model: head.model };
}

/** An engine may have learned the model since it was asked last: look again before saying no. */
async function assureKnown(model: string | null, { registry, discovery }: Services): Promise<void> {
  if (model === null || registry.serves(model)) return;
  await discovery.refresh();
}

/** A body that names no model may go anywhere only while there is one model. */
function onlyModel({ registry }: Services): string | null {
  const models = registry.models();
  if (models.length <= 1) return null;
  throw new ProxyError(
    "invalid_request",
    `Name one of the models in \`model\`: ${listed(models)}.`,
    { param: "model" },
  );
}
