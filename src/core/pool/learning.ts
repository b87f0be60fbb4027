import { isAnswer, type ProbeResult } from "../engine/health-answer.ts";
import { type EngineKind, gaugesRefreshMs } from "../engine/kinds.ts";
import type { LoadSample } from "../engine/load-signals.ts";
import type { Failure } from "../failure.ts";
import { failsAlone, lostAlike } from "./failing.ts";
import type { Answered, Lease, Outcome } from "./lease.ts";
import type { ModelIndex } from "./model-index.ts";
import { moveRequests } from "./move-requests.ts";
import type { Node } from "./node.ts";
import { isLookup, lengthIn, passes } from "./outcomes.ts";
import { Peers } from "./peers.ts";
import type { Listeners } from "./registry-listener.ts";
import { SecondOpinions } from "./second-opinions.ts";
import { isBadAnswer, isGood, isRefusal, passesTrial, passOverMs } from "./statuses.ts";
import { Tellings } from "./told.ts";
import { type Doubt, isShownByHead, QUIET_MS } from "./trials.ts";
import { mayBePrefill, Watch } from "./watch.ts";

/** What probes, gauges and the outcomes of requests teach of nodes. */
export class Learning {
  readonly #peers: Peers;
  readonly #watch: Watch;
  readonly secondOpinions: SecondOpinions;
  readonly #listeners: Listeners;
  readonly #now: () => number;
  readonly #told = new Tellings();

  /** @param now Monotonic clock, ms. */
  constructor(index: ModelIndex, listeners: Listeners, now: () => number) {
    this.#listeners = listeners;
    this.#now = now;
    this.#peers = new Peers(index);
    this.secondOpinions = new SecondOpinions({
      peers: this.#peers,
      now,
      doubt: (node, reason) => this.doubted(node, "refused", reason),
    });
    this.#watch = new Watch({
      index,
      peers: this.#peers,
      doubt: (node, why, reason) => this.doubted(node, why, reason),
      trialEnded: (node, lease, passed) => this.#trialEnded(node, lease, passed, now()),
      cleared: (node) => this.cleared(node),
    });
  }

  /** Looks at what is open, and at who is slow; to be called every `LOOK_MS`. */
  look(): void {
    this.#watch.look(this.#now());
  }

  /** A node which answers its probes is not to be trusted: this process found that, or another one. */
  doubted(node: Node, why: Doubt, reason: string): void {
    if (!node.health.routable(this.#now())) return;
    this.#listeners.said({ node, found: "doubted", why, reason });
    node.lastError = reason;
    // What it did before it went out is no part of what it does when it is back.
    node.conduct.forget();
    node.conduct.outAtMs = this.#now();
    if (why === "short") node.latencies.clear();
    const from = node.health.state;
    node.health.doubted(why, this.#now());
    this.#listeners.changed(node, from);
  }

  /** A request on trial has shown another process that it is. */
  cleared(node: Node): void {
    if (node.health.doubt === null) return;
    this.#listeners.said({ node, found: "cleared" });
    this.#absolve(node);
  }

  #absolve(node: Node): void {
    const from = node.health.state;
    node.health.absolve();
    this.#listeners.changed(node, from);
  }

  #trialEnded(node: Node, lease: object, passed: boolean | null, nowMs: number): void {
    const from = node.health.state;
    node.health.trialEnded(lease, passed, nowMs);
    this.#listeners.changed(node, from);
  }

  /** A metrics poll that was begun at `askedAtMs` came back. */
  sampled(node: Node, sample: LoadSample, engine: EngineKind | null, askedAtMs: number): void {
    this.#listeners.said({ node, found: "sampled", sample, engine, askedAtMs });
    let open = 0;
    for (const lease of node.leases) if (lease.startedAtMs >= askedAtMs) open += 1;
    const isNew = node.cache.sampled(sample, askedAtMs, open, gaugesRefreshMs(engine));
    if (isNew) node.held.sampled(sample, node.inFlight);
    if (engine !== null) node.engine = engine;
  }

  /** The node's gauges say that it is asleep, or they do not: asleep it would take requests and answer none. */
  foundAsleep(node: Node, asleep: boolean): void {
    this.#listeners.said({ node, found: "asleep", asleep });
    const from = node.health.state;
    node.health.gaugesRead(asleep, this.#now());
    this.#listeners.changed(node, from);
    if (asleep) moveRequests(node);
  }

  /**
   * An administrator put the engine to sleep, or woke it. Probes may lag behind by some seconds: what
   * they say against it does not count for a while.
   */
  told(node: Node, what: "asleep" | "awake"): void {
    this.#listeners.said({ node, found: "told", what });
    const nowMs = this.#now();
    this.#told.add(node, what, nowMs);
    const from = node.health.state;
    if (what === "awake") node.health.gaugesRead(false, nowMs);
    node.health.probed({ kind: what === "awake" ? "ok" : "sleeping" }, nowMs, false);
    this.#listeners.changed(node, from);
    if (what === "asleep") moveRequests(node);
  }

  /** An administrator has requests there aborted: they are to end, and not to begin anew elsewhere. */
  aborted(node: Node): void {
    this.#listeners.said({ node, found: "aborted" });
    node.abortedAtMs = this.#now();
  }

  /** A health probe came back; `progressed`: the node sent bytes of some answer meanwhile. */
  probed(node: Node, result: ProbeResult, progressed: boolean): void {
    if (result.kind === "ours" || this.#told.outdate(node, result, this.#now())) return;
    this.#listeners.said({ node, found: "probed", result, progressed });
    const { health } = node;
    const { state: from } = health;
    // Before the change is told, of which it is the reason.
    if ("detail" in result) node.lastError = result.detail;
    health.probed(result, this.#now(), progressed);
    if (result.kind === "ok" && this.#isQuiet(node)) health.quiet();
    this.#listeners.changed(node, from);
    const isWell = health.state === "healthy" && health.doubt === null;
    if (!("detail" in result) && isWell) node.lastError = null;
    if (result.kind === "refused") this.#foundAbsent(node);
    else if (isAnswer(result)) node.absent = false;
    if (!health.down) return;
    // An engine that answers its probe with an error may be finishing what it has; one that does not
    // answer may be computing.
    if (result.kind === "refused" || result.kind === "initializing") {
      moveRequests(node);
    } else if (!isAnswer(result) && result.kind !== "untrusted" && health.probeFailures >= 2) {
      moveRequests(node, (lease) => !mayBePrefill(lease, this.#now()));
    }
  }

  /** Whether lately neither the node nor a peer has been asked for anything, or been taken out by another process. */
  #isQuiet(node: Node): boolean {
    const isIdle = ({ conduct }: Node) =>
      Math.max(conduct.askedAtMs, conduct.outAtMs) < this.#now() - QUIET_MS;
    return [node, ...this.#peers.of(node)].every(isIdle);
  }

  /** Nobody listens: whatever process listens there next is another one. */
  #foundAbsent(node: Node): void {
    if (!node.absent) this.#listeners.restarted(node, "gone");
  }

  /** The node refused a connection that was no request: a free, a handshake. */
  refusedConnection(node: Node): void {
    this.#foundAbsent(node);
    this.suspect(node);
  }

  /** Somebody found out that the engine behind the URL is another process than before. */
  engineReplaced(node: Node): void {
    this.#listeners.restarted(node, "gone");
    this.suspect(node);
  }

  /** Something beside a request failed at the node: it should be probed at once. */
  suspect(node: Node): void {
    this.#listeners.probeWanted(node);
  }

  /** A good answer shows at its head what the node is worth; the end of a stream may be minutes away. */
  answering(lease: Lease, status: number): void {
    const { node } = lease;
    const { doubt, state: from } = node.health;
    if (lease.asked.kept === "lookup") return;
    if (lease.generation !== node.generation || !passesTrial(status, doubt ?? "answers")) return;
    const nowMs = this.#now();
    node.absent = false;
    node.health.answered(status);
    // Engines say 200 when they begin a prefill: whether that is late, the first word tells.
    if (isShownByHead(doubt)) node.health.trialEnded(lease, true, nowMs);
    this.#listeners.changed(node, from);
  }

  /** The first word of an answer came. */
  firstByte(lease: Lease, nowMs: number): void {
    const { node, asked, longestBytes, startedAtMs, status } = lease;
    const isWorthless = status === null || !isGood(status);
    if (lease.generation !== node.generation || isWorthless || asked.kept === "lookup") return;
    this.secondOpinions.answered(lease);
    const { health, conduct } = node;
    conduct.refusals.answeredWell(startedAtMs);
    const tookMs = nowMs - startedAtMs;
    if (lease.trial && health.doubt === "late") {
      const passed = this.#peers.times.passes(node, { asked, longestBytes, tookMs }, nowMs);
      this.#trialEnded(node, lease, passed, nowMs);
    } else if (startedAtMs < health.healthySinceMs) return;
    conduct.answers.add(asked, longestBytes, tookMs, nowMs);
    conduct.good.add(nowMs);
  }

  ended(lease: Lease, outcome: Outcome, nowMs: number): void {
    const { node } = lease;
    this.secondOpinions.ended(lease);
    // A request sent before the engine was replaced says nothing of the engine there now.
    const stale = lease.generation !== node.generation;
    const unheard = lease.firstByteAtMs === null;
    if (!stale && unheard && (outcome.kind === "cancelled" || outcome.kind === "timeout")) {
      this.#watch.givenUp(node, lease, nowMs);
    }
    const length = lengthIn(outcome);
    lease.comparison?.ended(lease, length);
    if (!stale && length !== null) {
      node.conduct.lengths.ended(lease, length, nowMs);
      this.#watch.measured(node, nowMs);
    }
    const isNotIts = outcome.kind === "cancelled" || outcome.kind === "ours";
    const says = !stale && !isNotIts && !isLookup(lease, outcome);
    if (!says) node.health.trialEnded(lease, null, nowMs);
    else if (outcome.kind === "answered") this.#learnAnswer(lease, outcome, nowMs);
    else this.#learnFailure(lease, outcome, nowMs);
    const isBad =
      outcome.kind === "answered" ? isBadAnswer(outcome.status) : outcome.kind !== "cancelled";
    if (isBad && outcome.kind !== "ours") this.suspect(node);
  }

  #learnFailure(lease: Lease, outcome: Failure, nowMs: number): void {
    const { node } = lease;
    const isLoss = outcome.kind === "lost" || outcome.kind === "broken";
    const alike = isLoss ? lostAlike(lease, this.#peers) : [];
    for (const peer of alike) this.#absolve(peer);
    if (alike.length > 0) return;
    node.lastError = outcome.detail;
    // Nothing was asked of it; that it gets nothing more is for its probe to say.
    if (outcome.kind === "untrusted") {
      node.health.trialEnded(lease, false, nowMs);
      return;
    }
    this.#charge(node, nowMs);
    const from = node.health.state;
    // Nobody knows yet whose fault a lost connection is; a refused one speaks for itself.
    if (outcome.kind !== "timeout" && (!isLoss || this.#peers.mayGo(node))) {
      node.health.lost(nowMs, lease.request);
    }
    node.health.trialEnded(lease, false, nowMs);
    this.#listeners.changed(node, from);
    if (outcome.kind === "refused") this.#foundAbsent(node);
  }

  /** A failed answer weighs like a request, and all of them no more than what keeps traffic at its peers. */
  #charge(node: Node, nowMs: number): void {
    let busiest = 0;
    for (const { inFlight } of this.#peers.of(node)) busiest = Math.max(busiest, inFlight);
    node.charges.add(nowMs, busiest);
  }

  #learnAnswer(lease: Lease, outcome: Answered, nowMs: number): void {
    const { node } = lease;
    const { status } = outcome;
    node.absent = false;
    if (status >= 200 && status < 300) {
      node.answered(nowMs - lease.startedAtMs, nowMs);
      node.conduct.flow.ended(lease, nowMs);
    }
    const busy = status === 429 || status === 503;
    if (busy) node.health.passOver(passOverMs(outcome.retryAfterMs ?? 0), nowMs);
    const failed = isBadAnswer(status);
    if (failed || busy) this.#charge(node, nowMs);
    if (failed) {
      node.lastError = `answered a request with ${status}`;
      node.conduct.failed.add(nowMs);
    }
    const { health } = node;
    const { state: from } = health;
    const shown = lease.modelIsGone ? null : passes(outcome, health.doubt ?? "answers");
    const passed = shown === "short" ? this.#peers.areAllShort(node, nowMs) : shown;
    if (health.answered(status) && failsAlone(node, this.#peers, nowMs)) {
      health.doubted("answers", nowMs);
    }
    health.trialEnded(lease, passed, nowMs);
    this.#listeners.changed(node, from);
    if (isRefusal(status)) this.secondOpinions.refused(lease, nowMs);
  }
}
