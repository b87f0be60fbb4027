import type { Clock } from "../core/clock.ts";
import { Channel } from "./channel.ts";
import type { ToWorker } from "./messages.ts";

/** Where this process itself stood still, the answer is there already, and is read within this time, ms. */
const GRACE_MS = 2_000;

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
  /** Whether it was told to listen. */
  mayListen = false;
  /** Whether another that is to take its place comes up. */
  isSucceeded = false;
  version = "";
  /** After how long without an answer it was killed, s; null for one that was not. */
  hungForS: number | null = null;
  readonly #process: Spawned;
  readonly #after: Clock["after"];

  /** @param answer What it asks the control plane. */
  constructor(
    row: number,
    { spawn, clock }: { readonly spawn: Spawn; readonly clock: Pick<Clock, "after"> },
    answer: (question: unknown) => unknown,
  ) {
    this.row = row;
    this.#after = clock.after;
    this.#process = spawn((message) => this.channel.receive(message));
    this.channel = new Channel((message) => this.#process.send(message), answer);
    this.pid = this.#process.pid;
    this.exited = this.#process.exited;
  }

  kill(): void {
    this.#process.kill();
  }

  /** On the way out of the whole proxy. @param limitMs When it hangs if it has not ended. */
  finish(limitMs: number): void {
    // Nobody can be connected to it, and what has been put in our place may never answer.
    if (!this.mayListen) {
      this.kill();
      return;
    }
    this.phase = "leaving";
    // It ends without an answer.
    this.ask({ do: "drain", isSaid: true }, limitMs).catch(() => {});
  }

  /** In words. @param how As `exited` tells it. */
  endOf(how: number | string): string {
    const { pid, hungForS } = this;
    return hungForS === null
      ? `worker ${pid} ended with ${how}`
      : `worker ${pid} gave no answer for ${hungForS} s, and was killed`;
  }

  /** @throws ChannelError also when it does not answer within about `limitMs`: then it is killed. */
  async ask(question: ToWorker, limitMs: number): Promise<unknown> {
    let cancel = this.#after(limitMs, () => {
      cancel = this.#after(GRACE_MS, () => {
        this.hungForS = Math.round((limitMs + GRACE_MS) / 1_000);
        this.kill();
      });
    });
    try {
      return await this.channel.ask(question);
    } finally {
      cancel();
    }
  }
}
