/** Bodies of LMDeploy's DistServe calls (`pytorch/disagg/conn/protocol.py`), types held strictly. */
import { type Static, Type } from "@sinclair/typebox";

/** TCP 1, RDMA 2, NVLINK 3. */
const Protocol = Type.Union([Type.Literal(1), Type.Literal(2), Type.Literal(3)]);

/** All of them are needed; none is looked at but `tp_size`. */
const EngineConfig = Type.Object({
  tp_size: Type.Integer({ minimum: 1 }),
  ep_size: Type.Integer(),
  dp_size: Type.Integer(),
  pp_size: Type.Union([Type.Integer(), Type.Null()]),
  dp_rank: Type.Integer(),
  block_size: Type.Integer(),
  num_cpu_blocks: Type.Integer(),
  num_gpu_blocks: Type.Integer(),
});

const RdmaConfig = Type.Object({
  with_gdr: Type.Boolean(),
  /** IB 1, RoCE 2. */
  link_type: Type.Union([Type.Literal(1), Type.Literal(2)]),
});

export const InitializeBody = Type.Object({
  local_engine_id: Type.String({ minLength: 1 }),
  local_engine_config: EngineConfig,
  remote_engine_id: Type.String({ minLength: 1 }),
  remote_engine_config: EngineConfig,
  protocol: Protocol,
  rank: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  tcp_config: Type.Optional(Type.Union([Type.Object({}), Type.Null()])),
  rdma_config: Type.Optional(Type.Union([RdmaConfig, Type.Null()])),
  nvlink_config: Type.Optional(Type.Union([Type.Object({}), Type.Null()])),
});

const EngineEndpoint = Type.Object({ zmq_address: Type.String() });

const TransferEndpoint = Type.Object({ protocol: Protocol, endpoint_info: Type.String() });

export const ConnectBody = Type.Object({
  protocol: Protocol,
  remote_engine_id: Type.String({ minLength: 1 }),
  remote_engine_endpoint_info: EngineEndpoint,
  remote_kvtransfer_endpoint_info: Type.Array(TransferEndpoint, { minItems: 1 }),
});

export const DropBody = Type.Object({
  engine_id: Type.String(),
  remote_engine_id: Type.String(),
});

export const FreeBody = Type.Object({
  remote_engine_id: Type.String(),
  remote_session_id: Type.Integer(),
});

export const MigrationRequest = Type.Object({
  protocol: Protocol,
  remote_engine_id: Type.String({ minLength: 1 }),
  remote_session_id: Type.Integer({ minimum: 0 }),
  remote_token_id: Type.Integer(),
  remote_block_ids: Type.Array(Type.Integer()),
  is_dummy_prefill: Type.Optional(Type.Boolean()),
});

/**
 * What the decode engine tells the prefill engine about a session, before and after it has fetched
 * the blocks: our stand-in for the zmq channel between real engines.
 */
export const SessionBody = Type.Object({
  decode_engine_id: Type.String(),
  session: Type.Integer(),
  token_id: Type.Integer(),
  block_ids: Type.Array(Type.Integer()),
});

export type InitializeBody = Static<typeof InitializeBody>;
export type ConnectBody = Static<typeof ConnectBody>;
export type MigrationRequest = Static<typeof MigrationRequest>;
export type SessionBody = Static<typeof SessionBody>;
