/** A real proxy process for tests. */
import { join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { Subprocess } from "bun";
import { NodeStatus } from "../../src/http/schemas.ts";
import { PROGRAM } from "./program-under-test.ts";

const ROOT = join(import.meta.dir, "../..");

export interface ProxyProcess {
  readonly url: string;
  readonly port: number;
  readonly process: Subprocess<"ignore", "pipe", "pipe">;
  /** The whole lines logged so far. */
  log(): string;
  /** `/nodes/status`, as an administrator with `adminKey` sees it. */
  status(adminKey?: string): Promise<Statuses>;
  /** Ends it with a signal and resolves with its exit code; unless it is killed, all that it logged is there. */
  end(signal?: NodeJS.Signals): Promise<number>;
  [Symbol.asyncDispose](): Promise<void>;
}

const Statuses = Type.Record(Type.String(), NodeStatus);
export type Statuses = Static<typeof Statuses>;

/** Starts `lmproxy serve` on a free port of 127.0.0.1 without a state file, `flags` added; resolves when it listens. */
export async function startProxy(
  flags: readonly string[] = [],
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly command?: readonly string[];
  } = {},
): Promise<ProxyProcess> {
  const command = options.command ?? PROGRAM;
  const child = Bun.spawn({
    cmd: [...command, "serve", "--host", "127.0.0.1", "--port", "0", ...flags],
    cwd: ROOT,
    env: { ...process.env, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let log = "";
  const logged = collect(child.stderr, (text) => {
    log += text;
  });
  let listening: (url: string) => void = () => {};
  const listens = new Promise<string>((resolve) => {
    listening = resolve;
  });
  let out = "";
  void collect(child.stdout, (text) => {
    out += text;
    const url = /listens on (\S+)\n/.exec(out)?.[1];
    if (url !== undefined) listening(url);
  });
  const ended = child.exited.then(async (code) => {
    await logged;
    throw new Error(`lmproxy ended with ${code} before it listened:\n${log}`);
  });
  const url = await Promise.race([listens, ended]);
  ended.catch(() => {});
  return {
    url,
    port: Number(new URL(url).port),
    process: child,
    log: () => log.slice(0, log.lastIndexOf("\n") + 1),
    async status(adminKey) {
      const headers = adminKey === undefined ? {} : { authorization: `Bearer ${adminKey}` };
      const answer = await fetch(`${url}/nodes/status`, { headers });
      const statuses: unknown = await answer.json();
      Value.Assert(Statuses, statuses);
      return statuses;
    },
    async end(signal = "SIGTERM") {
      child.kill(signal);
      const code = await child.exited;
      // Workers of one that is killed keep its log open.
      if (signal !== "SIGKILL") await logged;
      return code;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  take: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const piece of stream) take(decoder.decode(piece, { stream: true }));
}
