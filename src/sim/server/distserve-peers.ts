/**
 * The engines one DistServe engine is connected with.
 *
 * A real engine would find a wrong handshake out when it opens its sockets and registers memory;
 * here the endpoint infos carry who made them and for whom, so that infos that were swapped, changed
 * or left over from before a restart are refused the same way.
 */
import type { ConnectBody, InitializeBody } from "./distserve-schemas.ts";

interface Peer {
  /** The id under which this engine is known to that peer. */
  readonly localId: string;
  readonly protocol: number;
  isConnected: boolean;
}

export type Handshake<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

export interface EndpointInfos {
  readonly engine_endpoint_info: { readonly zmq_address: string };
  readonly kvtransfer_endpoint_info: readonly {
    readonly protocol: number;
    readonly endpoint_info: string;
  }[];
}

export class DistServePeers {
  readonly #port: string;
  readonly #tpSize: number;
  readonly #peers = new Map<string, Peer>();

  /** `port` is where this engine listens: an id with another one cannot be its own. */
  constructor(port: string, tpSize: number) {
    this.#port = port;
    this.#tpSize = tpSize;
  }

  /** Ids of the engines that the handshake has been completed with. */
  get connectedIds(): readonly string[] {
    return [...this.#peers].filter(([, peer]) => peer.isConnected).map(([id]) => id);
  }

  /** The id under which a connected peer knows this engine; `null` if it is not connected. */
  localIdFor(remoteId: string): string | null {
    const peer = this.#peers.get(remoteId);
    return peer?.isConnected ? peer.localId : null;
  }

  initialize(body: InitializeBody): Handshake<EndpointInfos> {
    const { local_engine_id: localId, remote_engine_id: remoteId, protocol } = body;
    if (!URL.canParse(localId) || portOf(localId) !== this.#port) {
      return refuse(`cannot bind ${localId}: that is not this engine`);
    }
    // Its brackets are lost on the way to the socket.
    if (new URL(localId).hostname.startsWith("[")) return refuse(`cannot bind ${localId}`);
    if (localId === remoteId) return refuse("an engine cannot be its own peer");
    const { tp_size: localTp } = body.local_engine_config;
    const { tp_size: remoteTp } = body.remote_engine_config;
    if (localTp !== this.#tpSize) return refuse(`tp_size is ${this.#tpSize}, not ${localTp}`);
    if (remoteTp !== localTp) return refuse(`tp_size ${localTp} and ${remoteTp} differ`);
    const config = { 1: body.tcp_config, 2: body.rdma_config, 3: body.nvlink_config }[protocol];
    if (!config) return refuse(`protocol ${protocol} comes without its configuration`);
    this.#peers.set(remoteId, { localId, protocol, isConnected: false });
    const { hostname } = new URL(localId);
    return {
      ok: true,
      value: {
        engine_endpoint_info: { zmq_address: `tcp://${hostname}:${this.#port}` },
        kvtransfer_endpoint_info: [
          {
            protocol,
            endpoint_info: JSON.stringify({ from: localId, to: remoteId, "qp→": "\u0001" }),
          },
        ],
      },
    };
  }

  connect(body: ConnectBody): Handshake<null> {
    const remoteId = body.remote_engine_id;
    const peer = this.#peers.get(remoteId);
    if (peer === undefined) return refuse(`${remoteId} was not initialized`);
    if (peer.protocol !== body.protocol) return refuse(`${remoteId} was initialized otherwise`);
    const { hostname } = new URL(remoteId);
    const address = `tcp://${hostname}:${portOf(remoteId)}`;
    const given = body.remote_engine_endpoint_info.zmq_address;
    if (given !== address) return refuse(`${given} is not the address of ${remoteId}`);
    const expected = JSON.stringify({ from: remoteId, to: peer.localId, "qp→": "\u0001" });
    for (const endpoint of body.remote_kvtransfer_endpoint_info) {
      if (endpoint.protocol !== peer.protocol || endpoint.endpoint_info !== expected) {
        return refuse(`the transfer endpoint of ${remoteId} is not one it made for this engine`);
      }
    }
    peer.isConnected = true;
    return { ok: true, value: null };
  }

  /** Forgets a peer; `false` if there was none such. */
  drop(remoteId: string): boolean {
    return this.#peers.delete(remoteId);
  }
}

function refuse(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason };
}

/** The port of a URL, the scheme's own if it names none. */
export function portOf(url: string): string {
  const { port, protocol } = new URL(url);
  return port || (protocol === "https:" ? "443" : "80");
}
