let stream: NodeJS.WriteStream | null = null;

/**
 * Writes to standard error. The stream is made when it is first needed: that takes milliseconds, and
 * a process that only replaces itself needs none.
 */
export function writeError(text: string): void {
  // Whoever reads the log may leave before we do.
  stream ??= process.stderr.on("error", () => {});
  stream.write(text);
}
