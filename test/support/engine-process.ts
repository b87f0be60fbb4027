/** A simulated engine in a process of its own, to be killed, stopped and started again. */
import { join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { FaultRule } from "../../src/sim/server/faults.ts";
import { PROGRAM } from "./program-under-test.ts";

const ROOT = join(import.meta.dir, "../..");
/** An engine may close a connection that stands idle just as it is used. */
const ITS_OWN = { keepalive: false } as const;

/** The part of an engine's `/debug/state` that tests look at. */
const EngineState = Type.Object({
  openRequests: Type.Integer(),
  totalRequests: Type.Integer(),
  completedRequests: Type.Integer(),
  cancelledRequests: Type.Integer(),
});
export type EngineState = Static<typeof EngineState>;

export interface EngineProcess extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<number>;
  setFaults(rules: readonly FaultRule[]): Promise<void>;
  /** A POST with a JSON body to any of its paths, such as `/debug/set` and `/sleep`. */
  post(path: string, body: object): Promise<void>;
  state(): Promise<EngineState>;
}

/** Starts `lmproxy engine` for the model `tiny`; resolves when it listens. */
export async function startEngineProcess(
  options: {
    readonly port?: number;
    readonly proxyUrl?: string;
    readonly timeScale?: number;
    readonly flags?: readonly string[];
  } = {},
): Promise<EngineProcess> {
  const { port = 0, proxyUrl, timeScale = 0, flags = [] } = options;
  const child = Bun.spawn({
    cmd: [
      ...[...PROGRAM, "engine", "--model", "tiny", "--port", `${port}`],
      ...["--time-scale", `${timeScale}`, ...flags],
      ...(proxyUrl === undefined ? [] : ["--proxy-url", proxyUrl]),
    ],
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const url = await listening(child.stdout);
  const post = async (path: string, body: object) => {
    const answer = await fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      ...ITS_OWN,
    });
    if (answer.status !== 200) throw new Error(`${path}: ${await answer.text()}`);
  };
  return {
    url,
    port: Number(new URL(url).port),
    kill: (signal) => child.kill(signal),
    exited: child.exited,
    post,
    setFaults: (rules) => post("/debug/faults", rules),
    async state() {
      const state: unknown = await (await fetch(`${url}/debug/state`, ITS_OWN)).json();
      Value.Assert(EngineState, state);
      return state;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** The URL it says it listens on; goes on reading, or its pipe would fill. */
async function listening(stdout: ReadableStream<Uint8Array>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const read = async () => {
    const decoder = new TextDecoder();
    let said = "";
    for await (const piece of stdout) {
      said = (said + decoder.decode(piece, { stream: true })).slice(-10_000);
      const url = /listens on (\S+)\n/.exec(said)?.[1];
      if (url !== undefined) resolve(url);
    }
    reject(new Error(`the engine ended:\n${said}`));
  };
  read().catch(reject);
  return await promise;
}
