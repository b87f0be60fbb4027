/** What engines answer to DistServe's calls, read as far as the proxy has to understand it. */

import { parseJson, readMembers } from "./json-members.ts";
import type { EndpointInfos } from "./protocol.ts";

export interface EngineInfo {
  /** The object as the engine wrote it. */
  readonly json: string;
  /** Tensor parallelism: both engines of a pair need the same. */
  readonly tpSize: number;
}

/** An engine_info: a JSON string that itself holds JSON, or the plain object; null when it is neither. */
export function readEngineInfo(body: string): EngineInfo | null {
  const outer = parseJson(body);
  const json = typeof outer === "string" ? outer : body;
  if (parseJson(json) === undefined) return null;
  const tpSize = parseJson(readMembers(json)?.text("tp_size") ?? null);
  if (typeof tpSize !== "number" || !Number.isSafeInteger(tpSize) || tpSize < 1) return null;
  return { json: json.trim(), tpSize };
}

/** FAIL means that the engine cannot do what was asked; anything but SUCCESS and FAIL is no answer. */
export type CallStatus = "success" | "fail" | null;

const SUCCESS = "1";
const FAIL = "2";

/** The `status` of an answer to p2p_initialize or p2p_connect. */
export function readStatus(body: string): CallStatus {
  const status = readMembers(body)?.text("status");
  if (status === SUCCESS) return "success";
  return status === FAIL ? "fail" : null;
}

/** Whether an answer to free_cache says that it was done. */
export function isFreed(body: string): boolean {
  return parseJson(readMembers(body)?.text("status") ?? null) === "SUCCESS";
}

/** The infos in a successful answer to p2p_initialize; null when one is missing. */
export function readEndpointInfos(body: string): EndpointInfos | null {
  const members = readMembers(body);
  const engineJson = members?.text("engine_endpoint_info") ?? null;
  const kvTransferJson = members?.text("kvtransfer_endpoint_info") ?? null;
  if (engineJson === null || kvTransferJson === null || parseJson(body) === undefined) return null;
  return { engineJson, kvTransferJson };
}

/** What a prefill left behind, or why it cannot be used. */
export type PrefillAnswer =
  | {
      readonly kind: "prefilled";
      /** Decimal digits. */
      readonly session: string;
      readonly tokenId: number;
      readonly blockIds: readonly number[];
    }
  | {
      readonly kind: "unusable";
      /** Its session, where that is known: it holds blocks all the same. */
      readonly session: string | null;
      readonly reason: string;
    };

/** Reads the answer to a prefill request, whose body is `body`. */
export function readPrefillAnswer(body: Uint8Array): PrefillAnswer {
  const members = readMembers(body);
  if (members === null) return unusable(null, "its answer is not a JSON object");
  const idText = members.text("id");
  const session = readSession(idText);
  const blockIds = readIntegers(members.text("cache_block_ids"));
  const tokenIds = readIntegers(members.text("remote_token_ids"));
  if (session === null) return unusable(null, unknownSession(idText));
  const tokenId = tokenIds?.at(-1);
  if (blockIds === null || blockIds.length === 0)
    return unusable(session, missing("cache_block_ids"));
  if (tokenId === undefined) return unusable(session, missing("remote_token_ids"));
  return { kind: "prefilled", session, tokenId, blockIds };
}

function unusable(session: string | null, reason: string): PrefillAnswer {
  return { kind: "unusable", session, reason };
}

function missing(name: string): string {
  return `its answer has no \`${name}\` (a list of integers, not empty)`;
}

/** The digits of a session number, given as a string or an integer; null for anything else. */
function readSession(text: string | null): string | null {
  const value = text?.startsWith('"') ? parseJson(text) : text;
  return typeof value === "string" && /^(?:0|[1-9]\d{0,19})$/.test(value) ? value : null;
}

function unknownSession(text: string | null): string {
  if (text === null) return "its answer has no `id`, which names the session";
  return (
    `it does not tell its session: the answer's \`id\` is ${text.slice(0, 60)}, not a number ` +
    "(LMDeploy from #4707 on does not, nor do some releases on /v1/completions); " +
    "the blocks it keeps cannot be freed from here"
  );
}

function readIntegers(text: string | null): readonly number[] | null {
  const value = parseJson(text);
  return Array.isArray(value) && value.every(isInteger) ? value : null;
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
