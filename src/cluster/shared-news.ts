/** What is known of prompts and latencies, known to all workers: each tells the others, and hears them. */
import type { HeardPrompts } from "../core/knowledge/heard-prompts.ts";
import type { OtherProcesses, SentNews } from "../core/knowledge/prompt-news.ts";
import type { Clocks, Hears, NewsReader, NewsRings, NewsWriter } from "./news-rings.ts";

export interface SharedNewsOptions {
  readonly rings: NewsRings;
  /** Of this process. */
  readonly row: number;
  /** Its number, which no other process of this time has. */
  readonly pid: number;
  readonly clocks: Clocks;
}

/** Who is told what other workers did. */
export interface Listens {
  /** Called for each of them; null where nothing is known of prompts. */
  prompts(): HeardPrompts | null;
  answered(slot: number, latencyMs: number): void;
}

export class SharedNews implements OtherProcesses {
  readonly #options: SharedNewsOptions;
  readonly #writer: NewsWriter;
  #others: readonly { readonly reader: NewsReader; readonly hears: Hears }[] = [];

  constructor(options: SharedNewsOptions) {
    const { rings, row, pid, clocks } = options;
    this.#options = options;
    this.#writer = rings.writer(row, pid, clocks);
  }

  /** From now on `listens` is told, whenever it is caught up. */
  listen(listens: Listens): void {
    const { rings, row: own, clocks } = this.#options;
    const rows = Array.from({ length: rings.rows }, (_, row) => row);
    this.#others = rows
      .filter((row) => row !== own)
      .map((row) => ({
        reader: rings.reader(row, clocks),
        hears: hearsOf(listens.prompts(), listens, clocks),
      }));
  }

  catchUp(): void {
    for (const { reader, hears } of this.#others) reader.read(hears);
  }

  sent(prompt: SentNews, atMs: number): void {
    this.#writer.sent(prompt, atMs);
  }

  computed(id: number, bytes: number, ms: number): void {
    this.#writer.computed(id, bytes, ms);
  }

  ended(id: number, isAnswered: boolean): void {
    this.#writer.ended(id, isAnswered);
  }

  answered(slot: number, latencyMs: number): void {
    this.#writer.answered(slot, latencyMs);
  }
}

function hearsOf(prompts: HeardPrompts | null, { answered }: Listens, { now }: Clocks): Hears {
  return {
    sent: (prompt, atMs) => prompts?.sent(prompt, atMs),
    computed: (id, bytes, ms, atMs) => prompts?.computed(id, bytes, ms, atMs),
    ended: (id, isAnswered, atMs) => prompts?.ended(id, isAnswered, atMs),
    answered,
    missed: () => prompts?.forget(now()),
  };
}
