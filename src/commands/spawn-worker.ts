import { existsSync } from "node:fs";
import { WorkersError } from "../cluster/errors.ts";
import type { Spawn, Spawned } from "../cluster/member.ts";
import { errorMessage } from "../core/thrown.ts";
import { type Program, thisProgram } from "./self.ts";

/** Starts `lmproxy worker`, by the executable that lies in our place at that time. @throws WorkersError */
export const spawnWorker: Spawn = (receive) => {
  try {
    return spawned(receive);
  } catch (error) {
    // There is no such file, or as many processes as there may be.
    throw new WorkersError(`a worker cannot be started: ${errorMessage(error)}`);
  }
};

function spawned(receive: (message: unknown) => void): Spawned {
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
}

/** A link that was followed at our start may lead to another version now. */
export function programInPlace(): Program {
  const program = thisProgram();
  if (program.args.length > 0) return program;
  const named = process.argv0.includes("/") ? process.argv0 : Bun.which(process.argv0);
  return named !== null && existsSync(named) ? { ...program, file: named } : program;
}
