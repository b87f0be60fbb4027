/** Connecting a prefill with a decode engine: LMDeploy's three steps, each with both engines at once. */
import { type EngineInfo, readEndpointInfos, readEngineInfo, readStatus } from "./answers.ts";
import { type EngineCalls, problemOf, type Reply } from "./engine-calls.ts";
import {
  connectBody,
  type EndpointInfos,
  type EngineSide,
  initializeBody,
  type Transport,
} from "./protocol.ts";

/** Why two engines could not be connected. */
export interface HandshakeFailure {
  /** Names the call and the node. */
  readonly reason: string;
  /** Trying again cannot help: sizes that differ, or an engine that said FAIL. */
  readonly final: boolean;
  /** Engines that refused a connection: their processes have ended. */
  readonly gone: readonly string[];
}

/**
 * One try to connect the engines behind two node URLs. Never rejects; null when they are connected.
 * Each step waits for both engines, however the first of them answered.
 */
export async function handshake(
  prefillId: string,
  decodeId: string,
  calls: EngineCalls,
  transport: Transport,
): Promise<HandshakeFailure | null> {
  const infos = await both(prefillId, decodeId, (id) => askInfo(id, calls));
  if ("failure" in infos) return infos.failure;
  const [prefillInfo, decodeInfo] = infos.values;
  if (prefillInfo.tpSize !== decodeInfo.tpSize) {
    return final(
      `their tp_size differ (${prefillId}: ${prefillInfo.tpSize}, ${decodeId}: ` +
        `${decodeInfo.tpSize}); start both with the same --tp`,
    );
  }
  const prefill: EngineSide = { id: prefillId, infoJson: prefillInfo.json };
  const decode: EngineSide = { id: decodeId, infoJson: decodeInfo.json };
  const endpoints = await both(prefillId, decodeId, (id) => {
    const sides = id === prefillId ? ([prefill, decode] as const) : ([decode, prefill] as const);
    return initialize(id, initializeBody(...sides, transport), calls);
  });
  if ("failure" in endpoints) return endpoints.failure;
  const [ofPrefill, ofDecode] = endpoints.values;
  const connected = await both(prefillId, decodeId, (id) => {
    const body =
      id === prefillId
        ? connectBody(decodeId, ofDecode, transport)
        : connectBody(prefillId, ofPrefill, transport);
    return connect(id, body, calls);
  });
  return "failure" in connected ? connected.failure : null;
}

type Outcome<T> = { readonly value: T } | { readonly failure: HandshakeFailure };
type Both<T> = { readonly values: readonly [T, T] } | { readonly failure: HandshakeFailure };

async function both<T>(
  prefillId: string,
  decodeId: string,
  step: (id: string) => Promise<Outcome<T>>,
): Promise<Both<T>> {
  const [prefill, decode] = await Promise.all([step(prefillId), step(decodeId)]);
  if ("value" in prefill && "value" in decode) return { values: [prefill.value, decode.value] };
  const failures = [prefill, decode].flatMap((side) => ("failure" in side ? [side.failure] : []));
  return {
    failure: {
      reason: failures.map(({ reason }) => reason).join("; "),
      final: failures.some(({ final }) => final),
      gone: failures.flatMap(({ gone }) => gone),
    },
  };
}

async function askInfo(id: string, calls: EngineCalls): Promise<Outcome<EngineInfo>> {
  const reply = await calls.engineInfo(id);
  const call = `GET ${id}/distserve/engine_info`;
  const body = bodyOf(id, call, reply);
  if (typeof body !== "string") return body;
  const value = readEngineInfo(body);
  return value === null ? { failure: nonsense(call) } : { value };
}

async function initialize(
  id: string,
  body: string,
  calls: EngineCalls,
): Promise<Outcome<EndpointInfos>> {
  const call = `POST ${id}/distserve/p2p_initialize`;
  const answer = await succeed(id, call, calls.handshake(id, "p2p_initialize", body));
  if (typeof answer !== "string") return answer;
  const value = readEndpointInfos(answer);
  return value === null ? { failure: nonsense(call) } : { value };
}

async function connect(id: string, body: string, calls: EngineCalls): Promise<Outcome<true>> {
  const call = `POST ${id}/distserve/p2p_connect`;
  const answer = await succeed(id, call, calls.handshake(id, "p2p_connect", body));
  return typeof answer === "string" ? { value: true } : answer;
}

/** The body of an answer whose `status` is SUCCESS. */
async function succeed(
  id: string,
  call: string,
  reply: Promise<Reply>,
): Promise<string | { readonly failure: HandshakeFailure }> {
  const body = bodyOf(id, call, await reply);
  if (typeof body !== "string") return body;
  const status = readStatus(body);
  if (status === "success") return body;
  return {
    failure: status === "fail" ? final(`${call}: it answered FAIL`) : nonsense(call),
  };
}

function bodyOf(
  id: string,
  call: string,
  reply: Reply,
): string | { readonly failure: HandshakeFailure } {
  if (!("kind" in reply) && reply.status === 200) return reply.body;
  const isGone = "kind" in reply && reply.kind === "refused";
  const reason = `${call}: ${problemOf(reply)}`;
  return { failure: { reason, final: false, gone: isGone ? [id] : [] } };
}

/** What it answered is not shown: the node may be no engine at all, and the reader a stranger to it. */
function nonsense(call: string): HandshakeFailure {
  return {
    reason: `${call}: it answered something else than this call does`,
    final: false,
    gone: [],
  };
}

function final(reason: string): HandshakeFailure {
  return { reason, final: true, gone: [] };
}
