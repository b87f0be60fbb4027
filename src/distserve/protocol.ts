/**
 * The bodies of LMDeploy's DistServe protocol (`pytorch/disagg/conn/protocol.py`). Engines hold types
 * strictly: numbers are JSON numbers, and what one engine said of itself reaches the other as it was
 * written.
 */

/** How KV blocks travel from a prefill to a decode engine. */
export interface Transport {
  readonly protocol: "RDMA" | "NVLINK";
  /** The link that RDMA runs on. */
  readonly linkType: "RoCE" | "IB";
  /** RDMA straight to and from GPU memory. */
  readonly gdr: boolean;
}

const PROTOCOL_NUMBERS = { RDMA: 2, NVLINK: 3 } as const;
const LINK_NUMBERS = { IB: 1, RoCE: 2 } as const;

/** One engine of a pair, as it described itself. */
export interface EngineSide {
  /** Its node's URL, which is its engine id: the same bytes in every call. */
  readonly id: string;
  /** Its engine_info: a JSON object as it wrote it. */
  readonly infoJson: string;
}

/** What an engine answered to its initialization; passed on unread. */
export interface EndpointInfos {
  readonly engineJson: string;
  readonly kvTransferJson: string;
}

/** What a decode engine needs to fetch the blocks of a prefill. */
export interface Migration {
  readonly prefillId: string;
  /** Decimal digits; session numbers may be larger than what a JavaScript number holds. */
  readonly session: string;
  readonly tokenId: number;
  readonly blockIds: readonly number[];
}

/** The body of POST /distserve/p2p_initialize to `own`. */
export function initializeBody(own: EngineSide, remote: EngineSide, transport: Transport): string {
  const { protocol, gdr, linkType } = transport;
  const rdma = { with_gdr: gdr, link_type: LINK_NUMBERS[linkType] };
  return jsonObject([
    ["local_engine_id", JSON.stringify(own.id)],
    ["local_engine_config", own.infoJson],
    ["remote_engine_id", JSON.stringify(remote.id)],
    ["remote_engine_config", remote.infoJson],
    ["protocol", String(PROTOCOL_NUMBERS[protocol])],
    ["rank", "null"],
    ["tcp_config", "null"],
    ["rdma_config", protocol === "RDMA" ? JSON.stringify(rdma) : "null"],
    ["nvlink_config", protocol === "NVLINK" ? "{}" : "null"],
  ]);
}

/** The body of POST /distserve/p2p_connect to the peer of the engine `remoteId`. */
export function connectBody(
  remoteId: string,
  remote: EndpointInfos,
  { protocol }: Transport,
): string {
  return jsonObject([
    ["protocol", String(PROTOCOL_NUMBERS[protocol])],
    ["remote_engine_id", JSON.stringify(remoteId)],
    ["remote_engine_endpoint_info", remote.engineJson],
    ["remote_kvtransfer_endpoint_info", remote.kvTransferJson],
  ]);
}

/** The body of POST /distserve/p2p_drop_connect to the engine `ownId`. */
export function dropBody(ownId: string, remoteId: string): string {
  return JSON.stringify({ engine_id: ownId, remote_engine_id: remoteId });
}

/** The body of POST /distserve/free_cache. @param session Decimal digits. */
export function freeBody(prefillId: string, session: string): string {
  return jsonObject([
    ["remote_engine_id", JSON.stringify(prefillId)],
    ["remote_session_id", session],
  ]);
}

/** The `migration_request` of a decode request. */
export function migrationJson(migration: Migration, transport: Transport): string {
  const { prefillId, session, tokenId, blockIds } = migration;
  return jsonObject([
    ["protocol", String(PROTOCOL_NUMBERS[transport.protocol])],
    ["remote_engine_id", JSON.stringify(prefillId)],
    ["remote_session_id", session],
    ["remote_token_id", String(tokenId)],
    ["remote_block_ids", JSON.stringify(blockIds)],
    ["is_dummy_prefill", String(prefillId === DUMMY.prefillId)],
  ]);
}

/** Stands for a prefill that never was: the decode engine makes its blocks up. */
export const DUMMY: Migration = {
  prefillId: "dummy:dummy",
  session: "0",
  tokenId: 0,
  blockIds: [],
};

function jsonObject(members: readonly (readonly [name: string, json: string])[]): string {
  return `{${members.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(",")}}`;
}
