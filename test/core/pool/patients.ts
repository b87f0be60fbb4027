import { Lease } from "../../../src/core/pool/lease.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { LOOK_MS } from "../../../src/core/pool/watch.ts";
import { type Asked, NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { CANCELLED, type Cluster, OK } from "../../../src/lab/cluster.ts";

interface Options {
  readonly perSecond: number;
  readonly seconds: number;
  /** After how long the first word comes, ms; Infinity: never. */
  readonly firstWordMs: (node: Node, asked: Asked) => number;
  /** It comes just then; left out: after half to one and a half times as long. */
  readonly isExact?: boolean;
  /** From the first word to the last, ms; default 1,000. */
  readonly restMs?: number;
  /** A client leaves when it has waited so long for its first word, ms; default 10,000. */
  readonly patienceMs?: number;
  readonly asked?: (nth: number) => Partial<Asked>;
  /** How many tokens the answer has, one every 25 ms; left out: that is not known. */
  readonly tokens?: (node: Node, asked: Asked) => number | null;
  /** For how long a stream pauses after so many tokens, ms; Infinity: for ever. Left out: not at all. */
  readonly pauseMs?: (node: Node, said: number, lease: Lease) => number;
}

const TOKEN_MS = 25;
/** Tokens come in pieces of their own, and pieces so many at a time. */
const AT_ONCE = 16;

/** What became of the requests. */
export interface Seen {
  /** When each was sent first, and after how long its first word came, ms; Infinity: its client left. */
  readonly requests: { readonly sentAtMs: number; waitedMs: number }[];
  /** Every lease, in order. */
  readonly leases: Lease[];
}

/** Lets the proxy look, probe and read gauges as it does: all engines answer their probes. */
export function keepWatch(cluster: Cluster): void {
  const { registry, time } = cluster;
  const look = () => {
    registry.learning.look();
    time.after(LOOK_MS, look);
  };
  const probe = () => {
    for (const node of registry.nodes()) cluster.pass(node);
    time.after(1_000, probe);
  };
  look();
  probe();
}

/** Clients that send requests at even distances, wait for a first word, and leave; requests move when they are to. */
export function send(cluster: Cluster, options: Options): Seen {
  const seen: Seen = { requests: [], leases: [] };
  const { time } = cluster;
  for (let nth = 0; nth < options.perSecond * options.seconds; nth += 1) {
    time.advance(1_000 / options.perSecond);
    const asked = { ...NOTHING_ASKED, stream: true, ...options.asked?.(nth) };
    new Request(cluster, options, asked, seen);
  }
  return seen;
}

class Request {
  readonly #cluster: Cluster;
  readonly #options: Options;
  readonly #asked: Asked;
  readonly #seen: Seen;
  readonly #tried = new Set<Node>();
  readonly #record: { readonly sentAtMs: number; waitedMs: number };
  #lease: Lease | null = null;

  constructor(cluster: Cluster, options: Options, asked: Asked, seen: Seen) {
    this.#cluster = cluster;
    this.#options = options;
    this.#asked = asked;
    this.#seen = seen;
    this.#record = { sentAtMs: cluster.time.nowMs, waitedMs: Number.POSITIVE_INFINITY };
    seen.requests.push(this.#record);
    cluster.time.after(options.patienceMs ?? 10_000, () => {
      const isSilent = this.#record.waitedMs === Number.POSITIVE_INFINITY;
      if (isSilent) this.#lease?.end(CANCELLED);
    });
    this.#send();
  }

  #send(): void {
    const { time, random } = this.#cluster;
    const lease = this.#cluster.acquire({ asked: this.#asked, tried: this.#tried });
    if (!(lease instanceof Lease)) return;
    this.#lease = lease;
    this.#seen.leases.push(lease);
    lease.sender = { evict: () => this.#move(lease) };
    lease.answering(200);
    const firstMs = this.#options.firstWordMs(lease.node, this.#asked);
    if (firstMs === Number.POSITIVE_INFINITY) return;
    const factor = this.#options.isExact === true ? 1 : 0.5 + random();
    time.after(firstMs * factor, () => {
      if (lease.outcome !== null) return;
      this.#record.waitedMs = time.nowMs - this.#record.sentAtMs;
      lease.piece(time.nowMs);
      const tokens = this.#options.tokens?.(lease.node, this.#asked) ?? null;
      if (tokens !== null) this.#say(lease, tokens, tokens);
      else time.after((this.#options.restMs ?? 1_000) * (0.5 + random()), () => lease.end(OK));
    });
  }

  #say(lease: Lease, tokens: number, left: number): void {
    const { time } = this.#cluster;
    if (lease.outcome !== null) return;
    if (left === 0) {
      lease.end({ kind: "answered", status: 200, saidTokens: tokens });
      return;
    }
    const now = Math.min(left, AT_ONCE);
    const pauseMs = this.#options.pauseMs?.(lease.node, tokens - left, lease) ?? 0;
    if (pauseMs === Number.POSITIVE_INFINITY) return;
    time.after(now * TOKEN_MS + pauseMs, () => {
      if (this.#asked.stream) for (let i = 0; i < now; i += 1) lease.piece(time.nowMs);
      this.#say(lease, tokens, left - now);
    });
  }

  #move(lease: Lease): void {
    if (this.#tried.size > 0 || !this.#cluster.registry.hasAnother(this.#wanted(lease))) return;
    this.#tried.add(lease.node);
    lease.end(CANCELLED);
    this.#send();
  }

  #wanted({ node }: Lease) {
    const tried = new Set([...this.#tried, node]);
    return { model: "m", role: node.role, tried, asked: this.#asked };
  }
}
