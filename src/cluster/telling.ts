/** What all workers of a supervisor are told, and whether they have heard it. */
import type { Member } from "./member.ts";
import type { News, ToWorker } from "./messages.ts";

/** Coming up, or hearing of something, takes a worker milliseconds: one that takes so long hangs, ms. */
export const START_LIMIT_MS = 60_000;
export const HEAR_LIMIT_MS = 15_000;

export class Telling {
  readonly #members: ReadonlySet<Member>;
  readonly #unheard = new Set<Promise<unknown>>();

  /** @param members Those that there are at any time. */
  constructor(members: ReadonlySet<Member>) {
    this.#members = members;
  }

  /** To every worker, in this order. */
  tell(news: News): void {
    this.order({ do: "news", news });
  }

  /** The same of what they are to do. */
  order(question: ToWorker): void {
    for (const member of this.#members) {
      // One that comes up hears it before it listens.
      const limitMs = member.phase === "starting" ? START_LIMIT_MS : HEAR_LIMIT_MS;
      const heard = member.ask(question, limitMs).catch(() => {});
      if (member.phase === "starting") continue;
      this.#unheard.add(heard);
      void heard.then(() => this.#unheard.delete(heard));
    }
  }

  /** Resolves when all workers have heard what they were told by now. */
  async heard(): Promise<void> {
    await Promise.all(this.#unheard);
  }

  get isAllHeard(): boolean {
    return this.#unheard.size === 0;
  }
}
