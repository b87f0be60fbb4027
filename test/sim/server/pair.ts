/** A prefill and a decode engine, and the calls of LMDeploy's handshake written out by hand. */
import { expect } from "bun:test";
import { isObject, type JsonObject } from "../../../src/core/json-object.ts";
import type { EngineOptions, RunningEngine } from "../../../src/sim/server/engine-options.ts";
import { post } from "./running.ts";

const RDMA = { protocol: 2, rdma_config: { with_gdr: true, link_type: 2 }, nvlink_config: null };

export interface Pair {
  readonly prefill: RunningEngine;
  readonly decode: RunningEngine;
}

/** Two engines of the last release with which DistServe works on both endpoints. */
export async function startPair(
  start: (options?: Partial<EngineOptions>) => Promise<RunningEngine>,
  options: Partial<EngineOptions> = {},
): Promise<Pair> {
  const params = { prefixCache: false };
  const both = { params, release: "0.11", ...options } as const;
  const prefill = await start({ role: "Prefill", ...both });
  return { prefill, decode: await start({ role: "Decode", ...both }) };
}

export async function objectOf(response: Response): Promise<JsonObject> {
  const value: unknown = await response.json();
  if (!isObject(value)) throw new Error(`no object: ${JSON.stringify(value)}`);
  return value;
}

/** The info as it comes: a JSON string that holds JSON. */
async function infoOf(engine: RunningEngine): Promise<unknown> {
  const outer: unknown = await (await fetch(`${engine.url}/distserve/engine_info`)).json();
  if (typeof outer !== "string") throw new Error("engine_info is not doubly encoded");
  return JSON.parse(outer);
}

export async function initialize(own: RunningEngine, other: RunningEngine, changes: object = {}) {
  const body = {
    local_engine_id: own.url,
    local_engine_config: await infoOf(own),
    remote_engine_id: other.url,
    remote_engine_config: await infoOf(other),
    rank: null,
    tcp_config: null,
    ...RDMA,
    ...changes,
  };
  return post(`${own.url}/distserve/p2p_initialize`, body);
}

export function connectTo(
  own: RunningEngine,
  other: RunningEngine,
  infos: JsonObject,
  changes = {},
) {
  return post(`${own.url}/distserve/p2p_connect`, {
    protocol: 2,
    remote_engine_id: other.url,
    remote_engine_endpoint_info: infos.engine_endpoint_info,
    remote_kvtransfer_endpoint_info: infos.kvtransfer_endpoint_info,
    ...changes,
  });
}

export async function connectPair({ prefill, decode }: Pair): Promise<void> {
  const ofPrefill = await objectOf(await initialize(prefill, decode));
  const ofDecode = await objectOf(await initialize(decode, prefill));
  expect([ofPrefill.status, ofDecode.status]).toEqual([1, 1]);
  const first = await objectOf(await connectTo(prefill, decode, ofDecode));
  const second = await objectOf(await connectTo(decode, prefill, ofPrefill));
  expect([first, second]).toEqual([{ status: 1 }, { status: 1 }]);
}
