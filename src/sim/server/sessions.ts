/** LMDeploy's numbers for requests: its own, counted from 0, and those that clients choose. */
import { Unhandled } from "./answer.ts";

/** What a client that chooses no number says, or leaves out. */
const NONE = -1;

export class Sessions {
  #next = 0;
  readonly #active = new Set<number>();
  /** The client's number of a request under way → ours. */
  readonly #chosen = new Map<number, number>();

  /** Whether a request under way has this number of ours: LMDeploy then refuses it as a client's. */
  isOccupied(chosen: number | undefined): boolean {
    return chosen !== undefined && this.#active.has(chosen);
  }

  /** The next number. Throws `Unhandled` when a request under way was given the same by its client. */
  take(chosen: number | undefined): number {
    const isChosen = chosen !== undefined && chosen !== NONE;
    if (isChosen && this.#chosen.has(chosen)) {
      throw new Unhandled(`User session id ${chosen} already exists`);
    }
    const session = this.#next++;
    this.#active.add(session);
    if (isChosen) this.#chosen.set(chosen, session);
    return session;
  }

  /** Our number for a client's, while its request is under way. */
  find(chosen: number): number | null {
    return this.#chosen.get(chosen) ?? null;
  }

  end(session: number, chosen: number | undefined): void {
    this.#active.delete(session);
    if (chosen !== undefined && this.#chosen.get(chosen) === session) this.#chosen.delete(chosen);
  }
}
