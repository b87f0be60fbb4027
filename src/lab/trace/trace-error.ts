/** A trace that cannot be read; the message says where and what is wrong. */
export class TraceError extends Error {
  override readonly name = "TraceError";
}
