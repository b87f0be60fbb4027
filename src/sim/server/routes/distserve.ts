/** `/distserve/*`, and the side channel between the two engines of a pair. */
import type { Static, TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { JsonObject } from "../../../core/json-object.ts";
import { type Answer, jsonAnswer, UnfitBody, Unhandled } from "../answer.ts";
import type { Call } from "../call.ts";
import {
  ConnectBody,
  DropBody,
  FreeBody,
  InitializeBody,
  SessionBody,
} from "../distserve-schemas.ts";
import type { Engine } from "../engine.ts";
import { sessionObjection } from "../transfer.ts";

const SUCCESS = 1;
const FAIL = 2;

type BodyRoute = (engine: Engine, call: Call, body: JsonObject) => Answer;

/** A route that refuses a body which does not fit the schema. */
function checked<S extends TSchema>(
  schema: S,
  answer: (engine: Engine, body: Static<S>) => unknown,
): BodyRoute {
  return (engine, _call, body) => {
    if (Value.Check(schema, body)) return jsonAnswer(answer(engine, body));
    const [first] = [...Value.Errors(schema, body)];
    const location = (first?.path ?? "").split("/").slice(1);
    const isMissing = first?.value === undefined;
    throw new UnfitBody(location, isMissing ? "Field required" : first.message);
  };
}

/** What goes wrong in a handshake is an exception that nobody handles; FAIL is what older releases say. */
function failed(engine: Engine, call: string, reason: string): { readonly status: number } {
  engine.settings.log(`${call}: ${reason}`);
  if (engine.settings.traits.failsHandshakes) throw new Unhandled(reason);
  return { status: FAIL };
}

/** The information as LMDeploy sends it: a JSON string that holds JSON. */
export function engineInfo(engine: Engine): Answer {
  const params = engine.params;
  const info = {
    tp_size: engine.settings.tpSize,
    ep_size: 1,
    dp_size: engine.ranks.length,
    pp_size: null,
    dp_rank: 0,
    block_size: params.blockSizeTokens,
    num_cpu_blocks: 0,
    num_gpu_blocks: params.totalBlocks,
  };
  return jsonAnswer(JSON.stringify(info));
}

export const DISTSERVE_ROUTES: Readonly<Record<string, BodyRoute>> = {
  "/distserve/p2p_initialize": checked(InitializeBody, (engine, body) => {
    const result = engine.peers.initialize(body);
    if (result.ok) return { status: SUCCESS, ...result.value };
    return {
      ...failed(engine, "p2p_initialize", result.reason),
      engine_endpoint_info: { zmq_address: "" },
      kvtransfer_endpoint_info: [],
    };
  }),
  "/distserve/p2p_connect": checked(ConnectBody, (engine, body) => {
    const result = engine.peers.connect(body);
    return result.ok ? { status: SUCCESS } : failed(engine, "p2p_connect", result.reason);
  }),
  "/distserve/p2p_drop_connect": checked(DropBody, (engine, body) => {
    const { remote_engine_id: remoteId } = body;
    if (!engine.peers.drop(remoteId) && engine.settings.traits.failsHandshakes) {
      throw new Unhandled(`there is no connection to ${remoteId}`);
    }
    return { success: true };
  }),
  "/distserve/free_cache": checked(FreeBody, (engine, { remote_session_id: session }) => {
    engine.rankOf(Math.abs(session)).driver.releasePreserved(String(session));
    return { status: "SUCCESS" };
  }),
};

/** What a decode engine asks and tells the prefill engine of a pair. */
export const PEER_ROUTES: Readonly<Record<string, BodyRoute>> = {
  "/sim/session": sessionRoute(() => {}),
  "/sim/migrated": sessionRoute((engine, { session }) => {
    engine.rankOf(session).driver.releasePreserved(String(session));
  }),
};

function sessionRoute(then: (engine: Engine, body: SessionBody) => void): BodyRoute {
  return (engine, _call, body) => {
    if (!Value.Check(SessionBody, body)) throw new UnfitBody([], "is no session");
    const objection = sessionObjection(engine, body);
    if (objection !== null) return jsonAnswer({ message: objection }, 409);
    then(engine, body);
    return jsonAnswer({ message: "agreed" });
  };
}
