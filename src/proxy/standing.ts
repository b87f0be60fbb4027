/**
 * What two processes say to each other when one takes the other's place: HTTP/1.1 over a Unix socket
 * beside the state file, which its owner alone may open. Two calls, each a POST with a JSON object that
 * is answered by one: `/share` with a `Successor`, then `/leave`. Both are answered by a `Standing`, or by
 * `{"message"}` with a status of 400 or more.
 */
import { type Static, Type } from "@sinclair/typebox";

/** Rises when one version could misunderstand the other. */
export const PROTOCOL = 1;

/** Who wants to take over. */
export const Successor = Type.Object({
  protocol: Type.Literal(PROTOCOL),
  version: Type.String(),
  pid: Type.Integer(),
  /** Where it is to listen; versions before do not say it. */
  host: Type.Optional(Type.String()),
  port: Type.Optional(Type.Integer()),
  /** How many listeners it has at its port, one for each worker; left out: one. */
  listeners: Type.Optional(Type.Integer({ minimum: 1 })),
});
export type Successor = Static<typeof Successor>;

/** What the running one is and knows, at the moment of the answer. */
export const Standing = Type.Object({
  protocol: Type.Literal(PROTOCOL),
  version: Type.String(),
  pid: Type.Integer(),
  /** Where it listens, as it was told; the port is the true one. */
  host: Type.String(),
  port: Type.Integer(),
  /** How many listeners it has there; left out: one. */
  listeners: Type.Optional(Type.Integer({ minimum: 1 })),
  /** The text of a state file. */
  state: Type.String(),
  /** URLs of nodes that an operator removed although a flag names them. */
  removed: Type.Array(Type.String()),
  /** URLs of nodes that may get requests. */
  routable: Type.Array(Type.String()),
  /** With DistServe, pairs that are connected, by the URLs of their nodes; versions before do not say it. */
  pairs: Type.Optional(Type.Array(Type.Tuple([Type.String(), Type.String()]))),
});
export type Standing = Static<typeof Standing>;

export const Refused = Type.Object({ message: Type.String() });

/** @param statePath The state file, absolute, with links followed. */
export function socketPath(statePath: string): string {
  return `${statePath}.sock`;
}

export interface ListensAt {
  readonly host: string;
  readonly port: number;
}

export function isSameAddress(one: ListensAt, other: ListensAt): boolean {
  return one.host === other.host && one.port === other.port;
}

/** What is wrong with one that is to listen elsewhere than the running one, which is at `own`. */
export function listensElsewhere({ host, port }: ListensAt): string {
  return `it listens on ${host} port ${port}; start this one with --host ${host} --port ${port}`;
}
