import { join } from "node:path";

/** `child.ts` as a process, killed (-9) when disposed of, with its lines as they come. */
export function spawnChild(...args: readonly string[]) {
  const command = [process.execPath, join(import.meta.dir, "child.ts"), ...args];
  return running(Bun.spawn(command, { stdout: "pipe", stderr: "inherit" }));
}

/** The same, with files limited to `blocks` of 512 or 1024 bytes: the disk is full for it. */
export function spawnChildOnFullDisk(blocks: number, ...args: readonly string[]) {
  // Ignored, the signal becomes an error of the write.
  const script = `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`;
  const command = [process.execPath, join(import.meta.dir, "child.ts"), ...args];
  return running(
    Bun.spawn(["sh", "-c", script, "sh", ...command], { stdout: "pipe", stderr: "inherit" }),
  );
}

function running(child: Bun.Subprocess<"ignore", "pipe", "inherit">) {
  const lines = linesOf(child.stdout);
  return {
    /** The next line, or null at the end. */
    nextLine: async () => (await lines.next()).value ?? null,
    /** All that are still to come, until it ends. */
    rest: async () => await Array.fromAsync(lines),
    exited: child.exited,
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let open = "";
  for await (const chunk of stream) {
    const lines = (open + decoder.decode(chunk, { stream: true })).split("\n");
    open = lines.pop() ?? "";
    yield* lines;
  }
  return undefined;
}
