/** Writes bytes to a socket of Bun's as it takes them: `write` for its `open` and `drain`. */
export function writeAll(bytes: Uint8Array) {
  const { promise: sent, resolve } = Promise.withResolvers<void>();
  let unsent = bytes;
  return {
    write(socket: { write(data: Uint8Array): number }): void {
      unsent = unsent.subarray(Math.max(0, socket.write(unsent)));
      if (unsent.length === 0) resolve();
    },
    /** Resolves when the last byte has left. */
    sent,
  };
}
