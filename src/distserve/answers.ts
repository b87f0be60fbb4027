/** What engines answer to DistServe's calls, read as far as the proxy has to understand it. */

import { type JsonMembers, parseJson, readMembers } from "./json-members.ts";
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
    }
  /** It holds blocks and does not say under which number: nobody can free them. */
  | { readonly kind: "unnamed"; readonly session: null; readonly reason: string };

/** Reads the answer to a prefill request, whose body is `body`. */
export function readPrefillAnswer(body: Uint8Array): PrefillAnswer {
  const members = readMembers(body);
  if (members === null) return unusable(null, "its answer is not a JSON object");
  const session = readSession(members);
  const blockIds = readIntegers(members.text("cache_block_ids"));
  const tokenIds = readIntegers(members.text("remote_token_ids"));
  if (blockIds === null || blockIds.length === 0)
    return unusable(session, missing("cache_block_ids"));
  if (session === null) return { kind: "unnamed", session, reason: unknownSession(members) };
  const tokenId = tokenIds?.at(-1);
  if (tokenId === undefined) return unusable(session, missing("remote_token_ids"));
  return { kind: "prefilled", session, tokenId, blockIds };
}

function unusable(session: string | null, reason: string): PrefillAnswer {
  return { kind: "unusable", session, reason };
}

function missing(name: string): string {
  return `its answer has no \`${name}\` (a list of integers, not empty)`;
}

/**
 * The digits of the session's number: of `cache_session_id`, an integer, where there is one (LMDeploy
 * #4977; its `id` is another then), else of an `id` that is a number, as an integer or a string. Null
 * for anything else: a guessed number could free somebody else's blocks.
 */
function readSession(members: JsonMembers): string | null {
  const named = members.text("cache_session_id");
  return digits(named === null || named === "null" ? members.text("id") : named);
}

function digits(text: string | null): string | null {
  const value = text?.startsWith('"') ? parseJson(text) : text;
  return typeof value === "string" && /^(?:0|[1-9]\d{0,19})$/.test(value) ? value : null;
}

function unknownSession(members: JsonMembers): string {
  const named = members.text("cache_session_id") ?? "missing";
  const id = members.text("id") ?? "missing";
  return (
    "it does not name the session whose blocks it keeps " +
    `(\`cache_session_id\` is ${named.slice(0, 60)}, \`id\` is ${id.slice(0, 60)})`
  );
}

function readIntegers(text: string | null): readonly number[] | null {
  const value = parseJson(text);
  return Array.isArray(value) && value.every(isInteger) ? value : null;
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
