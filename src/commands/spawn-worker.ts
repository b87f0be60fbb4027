import { existsSync } from "node:fs";
import type { Spawn } from "../cluster/member.ts";
import { type Program, thisProgram } from "./self.ts";

/** Starts `lmproxy worker`, by the executable that lies in our place at that time. */
export const spawnWorker: Spawn = (receive) => {
  const { file, args } = programInPlace();
  const child = Bun.spawn([file, ...args, "worker"], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
    env: process.env,
    serialization: "advanced",
    ipc: receive,
  });
  return {
    pid: child.pid,
    exited: child.exited.then((code) => child.signalCode ?? code),
    send(message) {
      try {
        child.send(message);
      } catch {
        // It has gone, of which `exited` tells.
      }
    },
    kill: () => child.kill("SIGKILL"),
  };
};

/** A link that was followed at our start may lead to another version now. */
export function programInPlace(): Program {
  const program = thisProgram();
  if (program.args.length > 0) return program;
  const named = process.argv0.includes("/") ? process.argv0 : Bun.which(process.argv0);
  return named !== null && existsSync(named) ? { ...program, file: named } : program;
}
