/** What clients are told whose request no pair of engines can answer. */
import { calledBy } from "../core/admission/refusals.ts";
import { ProxyError } from "../core/errors.ts";
import type { Wanted } from "../core/pool/choose.ts";
import type { Node } from "../core/pool/node.ts";
import type { HandshakeFailure } from "./handshake.ts";
import { type Endpoint, muteReleases } from "./session-names.ts";

export interface PlannedPair {
  readonly prefill: Node;
  readonly decode: Node;
  /** The prefill node that was wanted, if that is in question and left it to this one. */
  readonly insteadOf?: Node | undefined;
}

export interface FailedPair extends PlannedPair {
  readonly failure: HandshakeFailure;
}

/** Pairs that an error names; what is wrong with one is mostly wrong with all. */
const MOST_NAMED = 3;

/** 502: no prefill engine says under which number it keeps blocks. */
export function cannotHandOver(wanted: Wanted, endpoint: Endpoint): ProxyError {
  const model = calledBy(wanted);
  const what = model === null ? "any model" : `the model \`${model}\``;
  return new ProxyError(
    "upstream_error",
    `No prefill engine of ${what} names the session whose blocks it keeps, so none is asked any ` +
      `more: nobody could free them. Nor do ${muteReleases(endpoint)}.`,
  );
}

/** 502 that names the calls and nodes that failed. */
export function cannotConnect(failed: readonly FailedPair[]): ProxyError {
  const pairs = failed.slice(0, MOST_NAMED).map(({ prefill, decode, failure }) => {
    return `prefill node ${prefill.url} with decode node ${decode.url}: ${failure.reason}`;
  });
  const more = failed.length > MOST_NAMED ? `, and ${failed.length - MOST_NAMED} more` : "";
  return new ProxyError("upstream_error", `Cannot connect ${pairs.join(". Nor ")}${more}.`);
}
