/**
 * The DistServe side of one request: a prefill whose blocks are kept, or an answer whose blocks come
 * from a prefill engine. Everything that a real pair of engines could not do is refused.
 */
import { Value } from "@sinclair/typebox/value";
import { isObject, type JsonObject } from "../../core/json-object.ts";
import { EngineRefusal } from "./answer.ts";
import { booleanField } from "./body.ts";
import type { Call } from "./call.ts";
import type { Completion } from "./completion.ts";
import { MigrationRequest, type SessionBody } from "./distserve-schemas.ts";
import type { Engine } from "./engine.ts";

export interface Transfer {
  /** Set when the blocks are fetched instead of computed. */
  readonly migrated: boolean;
  /** Set when the blocks outlive the request. */
  readonly preserve: boolean;
  /**
   * To be awaited before the first byte of the answer, when the prompt's blocks are there. Resolves
   * with the fields that a prefill's answer carries beside the usual ones.
   */
  readonly finish: (choices: readonly Completion[]) => Promise<object>;
}

const NO_TRANSFER: Transfer = { migrated: false, preserve: false, finish: async () => ({}) };

/** How long a call to the other engine may take, ms: on a busy machine, where both are simulated, seconds. */
const PEER_TIMEOUT_MS = 30_000;

/** Header by which newer engines know the proxy; without it they refuse DistServe's fields. */
const PROXY_HEADER = "x-lmdeploy-distserve-proxy";

/** Reads DistServe's fields of a body. Throws `EngineRefusal` for what this engine cannot do. */
export async function transferOf(
  engine: Engine,
  call: Call,
  body: JsonObject,
  choices: number,
): Promise<Transfer> {
  const withCache = booleanField(body, "with_cache");
  const preserveCache = booleanField(body, "preserve_cache");
  const migration = body.migration_request ?? null;
  if (migration === null && !withCache && !preserveCache) return NO_TRANSFER;
  refuseUnlessTrusted(engine, call);
  if (choices !== 1) throw new EngineRefusal(400, "n > 1 is not supported with cache migration.");
  if (migration === null) return prefillTransfer(engine, body, withCache, preserveCache);
  return await decodeTransfer(engine, call, migration);
}

function refuseUnlessTrusted(engine: Engine, call: Call): void {
  const { role, traits } = engine.settings;
  if (role !== "Hybrid" && (!traits.needsProxyHeader || call.headers.get(PROXY_HEADER) === "1"))
    return;
  const fields = "migration_request, with_cache, preserve_cache";
  throw new EngineRefusal(400, `DistServe-only fields (${fields}) are not accepted here.`);
}

function prefillTransfer(
  engine: Engine,
  body: JsonObject,
  withCache: boolean,
  preserveCache: boolean,
): Transfer {
  if (engine.settings.role !== "Prefill") {
    throw new EngineRefusal(400, "A decode engine cannot preserve a prefill's cache.");
  }
  if (booleanField(body, "stream")) {
    throw new EngineRefusal(400, "A prefill that hands its cache over cannot be streamed.");
  }
  const finish = async ([completion]: readonly Completion[]) => {
    if (completion === undefined) return {};
    const { session, rank } = completion;
    const blocks = rank.model.preservedBlocks(String(session)) ?? [];
    if (!preserveCache) rank.driver.releasePreserved(String(session));
    if (!withCache) return {};
    const token = prefillToken(session);
    const isNamed = engine.settings.traits.prefillIds === "cache-session-id";
    return {
      cache_block_ids: blocks,
      remote_token_ids: [token - 1, token],
      ...(isNamed && { cache_session_id: session }),
    };
  };
  return { migrated: false, preserve: true, finish };
}

/** The token that a prefill generates: made up, but one that the prefill engine knows again. */
function prefillToken(session: number): number {
  return 1_000 + (session % 30_000);
}

async function decodeTransfer(engine: Engine, call: Call, migration: unknown): Promise<Transfer> {
  if (engine.settings.role !== "Decode") {
    throw new EngineRefusal(400, "Only a decode engine takes a migration_request.");
  }
  if (!Value.Check(MigrationRequest, migration)) {
    const [first] = [...Value.Errors(MigrationRequest, migration)];
    throw new EngineRefusal(400, `Invalid migration_request: ${first?.path} ${first?.message}`);
  }
  if (migration.is_dummy_prefill) return { ...NO_TRANSFER, migrated: true };
  const remoteId = migration.remote_engine_id;
  const localId = engine.peers.localIdFor(remoteId);
  if (localId === null) throw new EngineRefusal(400, `There is no connection to ${remoteId}.`);
  const session: SessionBody = {
    decode_engine_id: localId,
    session: migration.remote_session_id,
    token_id: migration.remote_token_id,
    block_ids: migration.remote_block_ids,
  };
  const check = await tellPeer(`${remoteId}/sim/session`, session, call.signal);
  if (check !== null) throw check;
  const finish = async () => {
    const failure = await tellPeer(`${remoteId}/sim/migrated`, session, call.signal);
    if (failure !== null) engine.settings.log(`session ${session.session}: ${failure.message}`);
    return {};
  };
  return { migrated: true, preserve: false, finish };
}

/** `null` when the prefill engine agreed. */
async function tellPeer(
  url: string,
  body: SessionBody,
  signal: AbortSignal,
): Promise<EngineRefusal | null> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      // One that stood idle may be closed at the other end just as it is used, and nothing is sent twice.
      keepalive: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(PEER_TIMEOUT_MS)]),
    });
    const answer: unknown = await response.json();
    if (response.ok) return null;
    const message = isObject(answer) ? String(answer.message) : "the prefill engine refused";
    return new EngineRefusal(400, message);
  } catch (error) {
    return new EngineRefusal(500, `The prefill engine cannot be reached: ${String(error)}`);
  }
}

/** Prefill side: `null` when the peer may have the blocks of this session, else why not. */
export function sessionObjection(engine: Engine, body: SessionBody): string | null {
  if (engine.peers.localIdFor(body.decode_engine_id) === null) {
    return `${body.decode_engine_id} is not connected with this engine.`;
  }
  const blocks = engine.rankOf(body.session).model.preservedBlocks(String(body.session));
  if (blocks === null) return `Session ${body.session} is not known here.`;
  const isSame = blocks.length === body.block_ids.length;
  if (!isSame || blocks.some((block, i) => block !== body.block_ids[i])) {
    return `The blocks are not those of session ${body.session}.`;
  }
  if (body.token_id !== prefillToken(body.session)) {
    return `Token ${body.token_id} is not the one that session ${body.session} generated.`;
  }
  return null;
}
