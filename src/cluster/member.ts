import { Channel } from "./channel.ts";
import type { ToWorker } from "./messages.ts";

/** A process that was started. */
export interface Spawned {
  readonly pid: number;
  /** Resolves when it has ended; its exit code, or the signal that ended it. */
  readonly exited: Promise<number | string>;
  /** Does nothing when it has gone. */
  send(message: unknown): void;
  kill(): void;
}

/** Starts a worker, whose messages go to `receive`. */
export type Spawn = (receive: (message: unknown) => void) => Spawned;

/**
 * What a worker does: it comes up, serves, finishes what it has because another took its place, or is
 * on its way out with the whole proxy.
 */
export type Phase = "starting" | "serving" | "retiring" | "leaving";

/** A worker, as the supervisor knows it. */
export class Member {
  readonly row: number;
  readonly pid: number;
  readonly channel: Channel<ToWorker>;
  readonly exited: Promise<number | string>;
  phase: Phase = "starting";
  version = "";
  readonly #process: Spawned;

  /** @param answer What it asks the control plane. */
  constructor(row: number, spawn: Spawn, answer: (question: unknown) => unknown) {
    this.row = row;
    this.#process = spawn((message) => this.channel.receive(message));
    this.channel = new Channel((message) => this.#process.send(message), answer);
    this.pid = this.#process.pid;
    this.exited = this.#process.exited;
  }

  kill(): void {
    this.#process.kill();
  }

  /** @throws ChannelError also when it does not answer in time: then it is killed. */
  async ask(question: ToWorker, limit: (act: () => void) => () => void): Promise<unknown> {
    const cancel = limit(() => this.kill());
    try {
      return await this.channel.ask(question);
    } finally {
      cancel();
    }
  }
}
