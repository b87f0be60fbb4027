/** An account as bytes, for keeping. */
import { type Explained, type Weighed, WHYS } from "../core/choice.ts";
import type { Account, TryAccount } from "./explanation.ts";
import { type Reader, TEXT_BYTES, type Writer } from "./packing.ts";

/** Most figures that a strategy may see of a node. */
const MOST_SEEN = 64;
const WEIGHED_BYTES = 2 * TEXT_BYTES + 24 + MOST_SEEN * 10;
/** Room for what is in an account once, and for each try. */
const ACCOUNT_BYTES = 4 * TEXT_BYTES + 256;
const TRY_BYTES = 3 * TEXT_BYTES + 64 + 3 * WEIGHED_BYTES;

/** What is asked of a packed account without unpacking the rest. */
export interface Peeked {
  readonly failed: boolean;
  readonly totalMs: number;
  /** Monotonic, ms. */
  readonly endedAtMs: number;
}

/** Writes a record of its own. */
export function packAccount(
  writer: Writer,
  account: Account,
  failed: boolean,
  endedAtMs: number,
): void {
  writer.begin(ACCOUNT_BYTES + account.tries.length * TRY_BYTES);
  writer.byte(failed ? 1 : 0);
  writer.figure(account.totalMs);
  writer.figure(endedAtMs);
  writer.text(account.id);
  writer.figure(account.beganAtMs);
  writer.text(account.client);
  writer.text(account.method);
  writer.word(account.path);
  writer.text(account.model);
  writer.byte(account.stream ? 1 : 0);
  writer.figure(account.status);
  writer.word(account.outcome);
  writer.word(account.error);
  writer.figure(account.admittedMs);
  writer.figure(account.firstByteMs);
  writer.figure(account.longestGapMs);
  writer.figure(account.bytesIn);
  writer.figure(account.bytesOut);
  writer.figure(account.pieces);
  const { usage } = account;
  writer.byte(usage === null ? 0 : 1);
  if (usage !== null) {
    writer.figure(usage.promptTokens);
    writer.figure(usage.outputTokens);
    writer.figure(usage.cachedTokens);
  }
  writer.short(account.tries.length);
  for (const one of account.tries) packTry(writer, one);
}

function packTry(writer: Writer, one: TryAccount): void {
  writer.text(one.url);
  writer.text(one.name);
  writer.figure(one.sentMs);
  writer.figure(one.firstByteMs);
  writer.word(one.outcome);
  writer.figure(one.status);
  writer.text(one.detail);
  const { choice } = one;
  writer.byte(choice?.best.length ?? 0);
  if (choice === null) return;
  writer.byte(WHYS.indexOf(choice.why));
  writer.word(choice.strategy);
  writer.figure(choice.candidates);
  writer.byte(choice.lastResort ? 1 : 0);
  for (const weighed of choice.best) packWeighed(writer, weighed);
}

function packWeighed(writer: Writer, { node, score, sampleAgeMs, seen }: Weighed): void {
  writer.text(node.url);
  writer.text(node.name);
  writer.figure(score);
  writer.figure(sampleAgeMs);
  const countAt = writer.length;
  let count = 0;
  writer.byte(0);
  for (const name in seen) {
    if (count === MOST_SEEN) break;
    writer.word(name);
    writer.figure(seen[name] ?? null);
    count += 1;
  }
  writer.setByte(countAt, count);
}

/** What comes first. */
export function peekAccount(reader: Reader): Peeked {
  return { failed: reader.flag(), totalMs: reader.figure(), endedAtMs: reader.figure() };
}

/** Whether the id, which comes next, is `id`. */
export function isAccountOf(reader: Reader, id: string): boolean {
  peekAccount(reader);
  return reader.isText(id);
}

export function unpackAccount(reader: Reader): Account {
  const { totalMs } = peekAccount(reader);
  return {
    id: reader.string(),
    phase: null,
    beganAtMs: reader.figure(),
    client: reader.text(),
    method: reader.string(),
    path: reader.word() ?? "",
    model: reader.text(),
    stream: reader.flag(),
    status: reader.figureOrNull(),
    outcome: reader.word(),
    error: reader.word(),
    admittedMs: reader.figureOrNull(),
    firstByteMs: reader.figureOrNull(),
    totalMs,
    longestGapMs: reader.figure(),
    bytesIn: reader.figure(),
    bytesOut: reader.figure(),
    pieces: reader.figure(),
    usage: reader.flag()
      ? {
          promptTokens: reader.figureOrNull(),
          outputTokens: reader.figureOrNull(),
          cachedTokens: reader.figureOrNull(),
        }
      : null,
    tries: Array.from({ length: reader.short() }, () => readTry(reader)),
  };
}

function readTry(reader: Reader): TryAccount {
  return {
    url: reader.string(),
    name: reader.text(),
    sentMs: reader.figure(),
    firstByteMs: reader.figureOrNull(),
    outcome: reader.word(),
    status: reader.figureOrNull(),
    detail: reader.text(),
    choice: readChoice(reader),
  };
}

function readChoice(reader: Reader): Explained | null {
  const best = reader.byte();
  if (best === 0) return null;
  return {
    why: WHYS[reader.byte()] ?? "strategy",
    strategy: reader.word(),
    candidates: reader.figure(),
    lastResort: reader.flag(),
    best: [readWeighed(reader), ...Array.from({ length: best - 1 }, () => readWeighed(reader))],
  };
}

function readWeighed(reader: Reader): Weighed {
  return {
    node: { url: reader.string(), name: reader.text() },
    score: reader.figureOrNull(),
    sampleAgeMs: reader.figureOrNull(),
    seen: Object.fromEntries(
      Array.from({ length: reader.byte() }, () => [reader.word() ?? "", reader.figureOrNull()]),
    ),
  };
}
