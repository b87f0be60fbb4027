/** `lmproxy worker`: one of the processes of `lmproxy serve --workers`, which starts it. */
import type { Run } from "./command.ts";
import { CommandError } from "./command-error.ts";

/** The supervisor gets them too, or alone, and says what is to be done. */
const NOT_FOR_WORKERS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const;

export const run: Run = async () => {
  if (process.send === undefined) {
    throw new CommandError("lmproxy worker is started by lmproxy serve --workers alone");
  }
  for (const signal of NOT_FOR_WORKERS) process.on(signal, () => {});
  const early: unknown[] = [];
  let receive = (message: unknown) => {
    early.push(message);
  };
  process.on("message", (message: unknown) => receive(message));
  // The supervisor may go while the rest is loaded, of which nobody tells twice.
  const { promise: left, resolve: leave } = Promise.withResolvers<void>();
  process.on("disconnect", leave);
  const { ProxyWorker } = await import("../proxy/worker-process.ts");
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const worker = new ProxyWorker(send, end);
  process.on("uncaughtException", (error) => worker.report(error));
  process.on("unhandledRejection", (error) => worker.report(error));
  receive = (message) => worker.receive(message);
  for (const message of early) receive(message);
  void left.then(() => worker.orphaned());
  await ended;
  return 0;
};

function send(message: unknown): void {
  try {
    process.send?.(message);
  } catch {
    // The supervisor has gone, of which there is a signal of its own.
  }
}
