import type { Member } from "../cluster/member.ts";
import type { Supervisor } from "../cluster/supervisor.ts";
import { MAX_DELAY_MS } from "../config/kinds.ts";
import type { Config } from "../config/serve-config.ts";
import { within } from "../core/clock.ts";
import type { Later } from "../http/services.ts";
import type { EventLog } from "../observe/log.ts";
import { CLOCK } from "./assemble.ts";

/** A worker that does not say within this time what runs there is not waited for, ms. */
const COUNT_LIMIT_MS = 1_000;
/** After its time limit a worker says what it has counted, and hands on its last spans and lines: no more than this, ms. */
const LAST_WORDS_MS = 6_000;

/** Says of the end of all workers what one process says of its own: once, and with the sums. */
export class WorkersEnd {
  readonly #config: Config;
  readonly #log: EventLog;
  readonly #openRequests: () => Later<readonly unknown[]>;
  /** What each has cut. */
  readonly #cut = new WeakMap<Member, number>();

  constructor(config: Config, log: EventLog, openRequests: () => Later<readonly unknown[]>) {
    this.#config = config;
    this.#log = log;
    this.#openRequests = openRequests;
  }

  /** A worker is about to end, and has cut so many requests. */
  ends(member: Member, cut: number): void {
    this.#cut.set(member, cut);
  }

  /** Lets all finish; resolves when they have ended. */
  async drain(supervisor: Pick<Supervisor, "members" | "drain">): Promise<void> {
    const { shutdownDelayMs, drainTimeoutMs } = this.#config;
    const { members } = supervisor;
    const limitMs = Math.min(MAX_DELAY_MS, shutdownDelayMs + drainTimeoutMs + LAST_WORDS_MS);
    // Those whose place others took have said it of their own.
    if (members.length === 0) return await supervisor.drain(limitMs);
    // They are asked before they begin to end.
    const open = shutdownDelayMs > 0 ? null : this.#open();
    const gone = supervisor.drain(limitMs);
    if (shutdownDelayMs > 0) {
      this.#log.info("about to end: not ready any more", { serves_for_s: shutdownDelayMs / 1_000 });
      await within(CLOCK, shutdownDelayMs, gone);
    }
    this.#log.info("ending: what runs or waits may finish", {
      unfinished: await (open ?? this.#open()),
      limit_s: drainTimeoutMs / 1_000,
    });
    await gone;
    const died = members.filter((member) => !this.#cut.has(member)).length;
    const unfinished = members.reduce((sum, member) => sum + (this.#cut.get(member) ?? 0), 0);
    if (died > 0) {
      // They died, hung, or a second signal was to end them at once.
      this.#log.warning("ending: workers ended before they had finished", { workers: died });
    }
    if (unfinished > 0) this.#log.warning("ending: what is left is cut", { unfinished });
    else if (died === 0) this.#log.info("ending: all has finished");
  }

  /** Null when that is not known in time. */
  async #open(): Promise<number | null> {
    const open = Promise.resolve(this.#openRequests()).then(
      ({ length }) => length,
      () => null,
    );
    return (await within(CLOCK, COUNT_LIMIT_MS, open)) ? await open : null;
  }
}
