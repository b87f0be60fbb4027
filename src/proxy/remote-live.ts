import type { Attended } from "../cluster/attended.ts";
import type { ToControl } from "../cluster/messages.ts";
import type { Watcher } from "../observe/live.ts";

/** The live page in a worker: the control plane tells it what all workers know. */
export class RemoteLive {
  readonly #control: Attended<ToControl>;
  readonly #watchers = new Map<number, Watcher>();
  #last = 0;
  #isOver = false;

  constructor(control: Attended<ToControl>) {
    this.#control = control;
  }

  /** What ends it; null where there is no room, or nobody to ask. */
  async watch(watcher: Watcher): Promise<(() => void) | null> {
    if (this.#isOver) return null;
    this.#last += 1;
    const id = this.#last;
    this.#watchers.set(id, watcher);
    const hasRoom = await this.#ask({ do: "watch", watcher: id });
    if (hasRoom === true && !this.#isOver) return () => this.#leave(id);
    this.#leave(id);
    return null;
  }

  /** @param line Null at the end. */
  show(id: number, line: string | null): void {
    const watcher = this.#watchers.get(id);
    if (line !== null) watcher?.tell(line);
    else if (this.#watchers.delete(id)) watcher?.end();
  }

  /** Everybody who looks is sent away, and may come again, to another worker. */
  stop(): void {
    this.#isOver = true;
    for (const [id, watcher] of this.#watchers) {
      this.#leave(id);
      watcher.end();
    }
  }

  #leave(id: number): void {
    if (this.#watchers.delete(id)) void this.#ask({ do: "unwatch", watcher: id });
  }

  #ask(question: ToControl): Promise<unknown> {
    return this.#control.ask(question).catch(() => undefined);
  }
}
