/** What clients are told whose request the proxy does not take: for now, at all, or as it is. */

import { ProxyError } from "../errors.ts";
import type { Wanted } from "../pool/choose.ts";
import type { Blocked } from "./waiting-line.ts";

/** Some of these are named; an engine may have thousands. */
const NAMED = 20;

/** `models` in a sentence, not all if they are many. */
export function listed(models: readonly string[]): string {
  const more = models.length - NAMED;
  const named = models.slice(0, NAMED).join(", ");
  return more > 0 ? `${named} and ${more} more, see /v1/models` : named;
}

type NamesModel = Pick<Wanted, "model" | "called">;

/** The model by the name that its client knows. */
export function calledBy({ model, called = model }: NamesModel): string | null {
  return called;
}

/** What a refusal of a model that nobody is known to serve depends on. */
export interface KnownModels {
  /** All nodes. */
  readonly nodes: () => readonly { readonly saysModels: boolean }[];
  readonly models: () => readonly string[];
}

/** 404 that names what exists; 503 as long as some engine has not said what it serves. */
export function unknownModel(wanted: NamesModel, known: KnownModels): ProxyError {
  const model = calledBy(wanted);
  const nodes = known.nodes();
  if (nodes.length === 0 || model === null) {
    const message = "No engine is registered; register one with POST /nodes/add.";
    return new ProxyError("service_unavailable", message, { retryAfterS: 1, rejection: "no_node" });
  }
  const silent = nodes.filter(({ saysModels }) => !saysModels).length;
  if (silent > 0) {
    return new ProxyError(
      "service_unavailable",
      `Nobody is known to serve the model \`${model}\`, but of ${nodes.length} engines ${silent} have not ` +
        "said what they serve; see /nodes/status, and try again.",
      { retryAfterS: 1, rejection: "no_node" },
    );
  }
  const models = known.models();
  const exists = models.length === 0 ? "no model is served" : `served are: ${listed(models)}`;
  const theirs = `The model \`${model}\` does not exist`;
  return new ProxyError("model_not_found", `${theirs}; ${exists}.`, {
    param: "model",
    lmdeployMessage: `${theirs}.`,
  });
}

/** 503: the model is known, but none of its nodes can take a request now, or not the one that it has to be. */
export function noNode(wanted: NamesModel & Pick<Wanted, "only">): ProxyError {
  const model = calledBy(wanted);
  const what = model === null ? "any model" : `the model \`${model}\``;
  const who = wanted.only
    ? "The engine that keeps what this request refers to cannot"
    : `No engine that serves ${what} can`;
  return new ProxyError(
    "service_unavailable",
    `${who} take requests now; see /nodes/status, and try again.`,
    { retryAfterS: 1, rejection: "no_node" },
  );
}

/** 503: who could be asked has not what the request refers to, and that is no proof that nobody has. */
export function mayBeAtOthers(unheard: number, nodes: number): ProxyError {
  return new ProxyError(
    "service_unavailable",
    "No engine that answered keeps what this request refers to, but " +
      `${unheard} of ${nodes} engines cannot be asked now; see /nodes/status, and try again.`,
    { retryAfterS: 1, rejection: "no_node" },
  );
}

/** 503: nothing new is taken, and what waits will not get its turn. */
export function shuttingDown(): ProxyError {
  return new ProxyError("service_unavailable", "The proxy is shutting down; try again.", {
    retryAfterS: 1,
    close: true,
    rejection: "draining",
    proxyErrorType: "proxy_internal_response",
  });
}

/** No place to wait in: 429 when the client itself is the reason, else 503. */
export function queueFull(blockedBy: Blocked, wanted: NamesModel): ProxyError {
  if (blockedBy === "client") {
    return new ProxyError(
      "rate_limit_exceeded",
      "You have as many requests running and waiting as the proxy allows; wait for some to end.",
      { retryAfterS: 1, rejection: "client_limit" },
    );
  }
  if (blockedBy === "starting" || blockedBy === "returning") return noNode(wanted);
  return new ProxyError(
    "service_unavailable",
    "All engines are busy and the queue is full; try again.",
    { retryAfterS: 1, rejection: "queue_full", proxyErrorType: "connection_limit_reached" },
  );
}

/** 503: its turn did not come in time. */
export function waitedTooLong(blockedBy: Blocked, wanted: Wanted): ProxyError {
  if (blockedBy === "starting" || blockedBy === "returning") return noNode(wanted);
  return new ProxyError(
    "service_unavailable",
    "The request waited too long for a free engine; try again.",
    { retryAfterS: 1, rejection: "queue_timeout", proxyErrorType: "connection_limit_reached" },
  );
}
