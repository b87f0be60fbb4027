import { Buffer } from "node:buffer";
import { withMembers } from "../core/body/body-edit.ts";
import { multipartModel } from "../core/body/multipart.ts";
import {
  CONTROL_PLANE_FIELDS,
  type RequestHead,
  scanRequestHead,
  scanRequestHeadInSlices,
} from "../core/body/request-head.ts";
import type { Clock } from "../core/clock.ts";

/** Larger bodies are scanned in slices, so that other requests get their turn in between. */
const ONE_SLICE_BYTES = 1024 * 1024;

/** What has been understood of a body. */
export interface ReadHead {
  /** Its positions are those in `body`; null when it is no JSON. */
  readonly head: RequestHead | null;
  /** As it goes out: without control-plane fields, and with the model's own name. */
  readonly body: Uint8Array;
  /** That name; null where the body names none. */
  readonly model: string | null;
  /** What its client calls it. */
  readonly called: string | null;
}

/** The name that engines know a model by which clients call `model`. */
export type OwnName = (model: string) => string;

/**
 * Reads what the proxy has to know of a body.
 * @param type Its Content-Type.
 * @throws ProxyError as `scanRequestHead` and `multipartModel`
 */
export function readHead(
  sent: Uint8Array,
  type: string | null,
  ownName: OwnName,
  soon: Clock["soon"],
): ReadHead | Promise<ReadHead> {
  if (type !== null && /^multipart\/form-data\b/i.test(type)) return readForm(sent, type, ownName);
  if (sent.length > ONE_SLICE_BYTES) return readLarge(sent, ownName, soon);
  const head = scanRequestHead(sent);
  const body = asItGoesOut(sent, head, ownName);
  return readFrom(body === sent ? head : scanRequestHead(body), body, head);
}

async function readLarge(
  sent: Uint8Array,
  ownName: OwnName,
  soon: Clock["soon"],
): Promise<ReadHead> {
  const pause = () => new Promise<void>(soon);
  const head = await scanRequestHeadInSlices(sent, pause);
  const body = asItGoesOut(sent, head, ownName);
  const goesOut = body === sent ? head : await scanRequestHeadInSlices(body, pause);
  return readFrom(goesOut, body, head);
}

function readFrom(head: RequestHead, body: Uint8Array, asSent: RequestHead): ReadHead {
  return { head, body, model: named(head.model), called: named(asSent.model) };
}

/** Engines take an empty name for none. */
function named(model: string | null): string | null {
  return model === "" ? null : model;
}

function asItGoesOut(sent: Uint8Array, head: RequestHead, ownName: OwnName): Uint8Array {
  const { model, controlPlane } = head;
  const own = model === null || model === "" ? model : ownName(model);
  if (own === model && !controlPlane) return sent;
  const renamed = own === model ? [] : ([["model", JSON.stringify(own)]] as const);
  return withMembers(sent, head, CONTROL_PLANE_FIELDS, renamed);
}

function readForm(sent: Uint8Array, type: string, ownName: OwnName): ReadHead {
  const field = multipartModel(sent, type);
  if (field === null) return { head: null, body: sent, model: null, called: null };
  const model = ownName(field.model);
  const called = named(field.model);
  if (model === field.model) return { head: null, body: sent, model: called, called };
  const [before, after] = [sent.subarray(0, field.start), sent.subarray(field.end)];
  return { head: null, body: Buffer.concat([before, Buffer.from(model), after]), model, called };
}
