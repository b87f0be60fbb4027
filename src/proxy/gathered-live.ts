/** What the live page shows of a proxy of several processes: what all its workers know. */
import type { Member } from "../cluster/member.ts";
import { type Clock, within } from "../core/clock.ts";
import type { Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import { countOf, FailureSorts, withCount } from "../observe/failure-sorts.ts";
import type { Live } from "../observe/live.ts";
import type { LiveFacts, NodeFacts } from "../observe/live-facts.ts";
import { FAILURE_FIELDS, REQUEST_FIELDS } from "../observe/live-frame.ts";
import { MOST_REQUESTS } from "../observe/live-rows.ts";
import type { Row } from "../observe/table-changes.ts";
import { mergedFigures } from "./gathered.ts";

/** One that has not answered by then counts with what it said before, ms. */
const ANSWER_LIMIT_MS = 500;
/** A worker that has so many lines unread for somebody shows him nothing. */
const MOST_UNREAD_LINES = 60;

const BEGAN = REQUEST_FIELDS.indexOf("beganMs");
const QUIET = REQUEST_FIELDS.indexOf("quietMs");
const ENDED = FAILURE_FIELDS.indexOf("endedMs");

/** What a worker has said. */
interface Said {
  /** In our times and with our keys. */
  facts: LiveFacts;
  readonly nodes: Map<string, NodeFacts>;
  /** Ours by its own. */
  keys: Map<number, number>;
  /** Added to its times, ms: always the same, or all rows would change with it. */
  readonly laterMs: number;
  isAsked: boolean;
}

type Counts = Pick<NodeFacts, "attempts" | "firstBytes" | "firstByteS">;

export class GatheredFacts {
  readonly #registry: Registry;
  readonly #members: () => readonly Member[];
  readonly #clock: Pick<Clock, "after">;
  readonly #epochMs: number;
  readonly #said = new Map<Member, Said>();
  /** Grows only, also when workers end. */
  readonly #counts = new WeakMap<Node, Counts>();
  #requests = 0;
  #failed = 0;
  readonly #failures = new FailureSorts();
  #lastKey = 0;

  constructor(
    registry: Registry,
    members: () => readonly Member[],
    clock: Pick<Clock, "now" | "wallMs" | "after">,
  ) {
    this.#registry = registry;
    this.#members = members;
    this.#clock = clock;
    this.#epochMs = Math.round(clock.wallMs() - clock.now());
  }

  /** Resolves when all workers have said what they know, or some take too long. */
  readonly refresh = async (): Promise<void> => {
    const asked = this.#members().map((member) => this.#ask(member));
    await within(this.#clock, ANSWER_LIMIT_MS, Promise.all(asked));
  };

  async #ask(member: Member): Promise<void> {
    const before = this.#said.get(member);
    if (before?.isAsked === true) return;
    if (before !== undefined) before.isAsked = true;
    try {
      const answer = await member.channel.ask({ do: "live" });
      if (isFacts(answer)) this.#take(member, answer);
    } catch {
      // It has ended.
    } finally {
      const said = this.#said.get(member);
      if (said !== undefined) said.isAsked = false;
    }
  }

  readonly facts = (): LiveFacts => {
    const there = new Set(this.#members());
    for (const member of this.#said.keys()) if (!there.has(member)) this.#said.delete(member);
    const all = [...this.#said.values()];
    const facts = all.map((said) => said.facts);
    const byModel = new Map<string, number>();
    for (const [name, open] of facts.flatMap((one) => one.byModel)) {
      byModel.set(name, (byModel.get(name) ?? 0) + open);
    }
    return {
      epochMs: this.#epochMs,
      open: sum(facts, ({ open }) => open),
      waiting: sum(facts, ({ waiting }) => waiting),
      leaving: facts.length > 0 && facts.every(({ leaving }) => leaving),
      requests: this.#requests,
      failed: this.#failed,
      oldest: facts
        .flatMap(({ oldest }) => oldest)
        .sort(([, a], [, b]) => Number(a[BEGAN]) - Number(b[BEGAN]))
        .slice(0, MOST_REQUESTS),
      byModel: [...byModel],
      failures: this.#failures.rows(),
      nodes: this.#registry.nodes().map((node) => this.#ofNode(node, all)),
    };
  };

  #ofNode(node: Node, all: readonly Said[]): NodeFacts {
    const parts = all.flatMap(({ nodes }) => nodes.get(node.url) ?? []);
    const oldest = parts.map(({ oldestMs }) => oldestMs).filter((ms) => ms !== null);
    const [first, ...others] = parts.map(({ figures }) => figures).filter((one) => one !== null);
    return {
      url: node.url,
      attempts: 0,
      firstBytes: 0,
      firstByteS: 0,
      ...this.#counts.get(node),
      oldestMs: oldest.length === 0 ? null : Math.min(...oldest),
      figures:
        first === undefined ? null : mergedFigures({ ...first, errors_5m: 0 }, [first, ...others]),
    };
  }

  #take(member: Member, theirs: LiveFacts): void {
    const before = this.#said.get(member);
    const laterMs = before?.laterMs ?? theirs.epochMs - this.#epochMs;
    const keys = new Map<number, number>();
    const ours = ([key, cells]: Row, places: readonly number[]): Row => {
      const own = keys.get(key) ?? before?.keys.get(key) ?? this.#newKey();
      keys.set(key, own);
      return [own, cells.map((cell, at) => (places.includes(at) ? later(cell, laterMs) : cell))];
    };
    const facts = {
      ...theirs,
      oldest: theirs.oldest.map((row) => ours(row, [BEGAN, QUIET])),
      failures: theirs.failures.map((row) => ours(row, [ENDED])),
    };
    const nodes = new Map(
      theirs.nodes.map((node) => [
        node.url,
        { ...node, oldestMs: laterOrNull(node.oldestMs, laterMs) },
      ]),
    );
    this.#requests += grown(before?.facts.requests, theirs.requests);
    this.#failed += grown(before?.facts.failed, theirs.failed);
    for (const node of nodes.values()) this.#count(node, before?.nodes.get(node.url));
    this.#addFailures(facts.failures, before?.facts.failures ?? []);
    this.#said.set(member, { facts, nodes, keys, laterMs, isAsked: false });
  }

  #count(now: NodeFacts, before: NodeFacts | undefined): void {
    const node = this.#registry.get(now.url);
    if (node === undefined) return;
    const { attempts = 0, firstBytes = 0, firstByteS = 0 } = this.#counts.get(node) ?? {};
    this.#counts.set(node, {
      attempts: attempts + grown(before?.attempts, now.attempts),
      firstBytes: firstBytes + grown(before?.firstBytes, now.firstBytes),
      firstByteS: firstByteS + grown(before?.firstByteS, now.firstByteS),
    });
  }

  /** They stay when the worker that they happened in has ended. */
  #addFailures(rows: readonly Row[], before: readonly Row[]): void {
    const counted = new Map(before.map((row) => [row[0], countOf(row)]));
    for (const row of rows.toReversed()) {
      const more = countOf(row) - (counted.get(row[0]) ?? 0);
      if (more > 0) this.#failures.add(withCount(row, more));
    }
  }

  #newKey(): number {
    this.#lastKey += 1;
    return this.#lastKey;
  }
}

/** Those who look at the page, each over the worker that his connection came to. */
export class WorkersWatchers {
  readonly #live: Live;
  readonly #leaves = new Map<Member, Map<number, () => void>>();

  constructor(live: Live) {
    this.#live = live;
  }

  /** Whether there is room: then he has been sent all there is. */
  async watch(member: Member, watcher: number): Promise<boolean> {
    await this.#live.refresh();
    let unread = 0;
    const send = (line: string | null) => {
      unread += 1;
      const read = () => {
        unread -= 1;
      };
      // It may have ended before we knew who looks there.
      const gone = () => this.unwatch(member, watcher);
      member.channel.ask({ do: "show", watcher, line }).then(read, gone);
    };
    const leave = this.#live.watch({
      tell: (line) => (unread < MOST_UNREAD_LINES ? send(line) : this.unwatch(member, watcher)),
      end: () => send(null),
    });
    if (leave === null) return false;
    const leaves = this.#leaves.get(member) ?? new Map<number, () => void>();
    this.#leaves.set(member, leaves.set(watcher, leave));
    return true;
  }

  unwatch(member: Member, watcher: number): void {
    const leaves = this.#leaves.get(member);
    leaves?.get(watcher)?.();
    leaves?.delete(watcher);
  }

  /** A worker has ended. */
  gone(member: Member): void {
    for (const leave of this.#leaves.get(member)?.values() ?? []) leave();
    this.#leaves.delete(member);
  }
}

/** A worker is another process, and may be of another version. */
function isFacts(value: unknown): value is LiveFacts {
  return typeof value === "object" && value !== null && "oldest" in value && "nodes" in value;
}

/** A count never falls but when its node is a new one by the same address. */
function grown(before = 0, now: number): number {
  return Math.max(now - before, 0);
}

/** 0 and null are no times. */
function later<T>(cell: T, ms: number): T | number {
  return typeof cell === "number" && cell > 0 ? cell + ms : cell;
}

function laterOrNull(atMs: number | null, ms: number): number | null {
  return atMs === null ? null : atMs + ms;
}

function sum(all: readonly LiveFacts[], of: (one: LiveFacts) => number): number {
  return all.reduce((total, one) => total + of(one), 0);
}
