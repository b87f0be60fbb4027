import type { ProbeFailure, ProbeResult } from "../engine/health-answer.ts";

/** The states of a node as `/nodes/status` shows them. */
export type NodeState = "starting" | "healthy" | "sleeping" | "unhealthy" | "draining";

/** Probe time-outs or failed answers in a row that eject a node. */
const FAILURES_TO_EJECT = 2;
/** A node ejected for its answers waits this long for its first trial request; each failed trial doubles it. */
const FIRST_TRIAL_WAIT_MS = 1_000;
const LONGEST_TRIAL_WAIT_MS = 30_000;
/** A node that has missed one probe is asked again soon: it may be about to be ejected. */
const SUSPECT_PROBE_MS = 1_000;
/** Ejected nodes are probed every second at first, since most of them restart, then less often. */
const EJECTED_PROBE_MS = 1_000;
const EJECTED_FOR_LONG_MS = 60_000;
const EJECTED_FOR_LONG_PROBE_MS = 5_000;
/** A starting engine is about to listen: ask soon, then less and less often. */
const FIRST_STARTING_PROBE_MS = 20;
/** Bringing in takes this long: an engine with cold caches would otherwise draw everything at once. */
const WARM_UP_MS = 10_000;

/**
 * One node's health: what moves it between its states. Active probes and the outcomes of real
 * requests both count. Pure: events and the time go in, the state comes out; whoever feeds it acts.
 */
export class NodeHealth {
  #phase: "starting" | "healthy" | "sleeping" | "ejected" = "starting";
  #draining = false;
  #probeFailures = 0;
  #badAnswers = 0;
  #ejectedAtMs = 0;
  /** A node lost by a request is `unproven` until the probe that triggers has told how it may return. */
  #ejectedBy: "probes" | "answers" | "unproven" = "probes";
  #trialAtMs = 0;
  #trialWaitMs = FIRST_TRIAL_WAIT_MS;
  /** The request that is on trial, or null. */
  #trial: object | null = null;
  #passedOverUntilMs = Number.NEGATIVE_INFINITY;
  #healthySinceMs = 0;
  /** It registered again and has not passed a probe since: a refusal means "not yet", not "gone". */
  #registeredAgain = false;
  /** Its gauges said last that it is asleep: some answer `/health` as if they were not. */
  #gaugesSleep = false;

  get state(): NodeState {
    if (this.#draining) return "draining";
    return this.#phase === "ejected" ? "unhealthy" : this.#phase;
  }

  /** Probes in a row that failed. */
  get probeFailures(): number {
    return this.#probeFailures;
  }

  /** Its engine is believed to answer, draining or not. */
  get alive(): boolean {
    return this.#phase === "healthy";
  }

  /** An engine is believed to listen there, if only to say that it is asleep. */
  get listens(): boolean {
    return this.#phase === "healthy" || this.#phase === "sleeping";
  }

  /** No engine is believed to listen there: it has not come up yet, or probes found it gone. */
  get down(): boolean {
    return (
      this.#phase === "starting" || (this.#phase === "ejected" && this.#ejectedBy === "probes")
    );
  }

  /** 0 (just joined) to 1 (fully brought in). */
  warm(nowMs: number): number {
    if (this.#phase !== "healthy") return 0;
    return Math.min(Math.max((nowMs - this.#healthySinceMs) / WARM_UP_MS, 0), 1);
  }

  /** May get new requests. */
  routable(nowMs: number): boolean {
    return this.state === "healthy" && !this.passedOver(nowMs);
  }

  /** Ejected or passed over, but worth trying when nothing else is left. */
  get lastResort(): boolean {
    return !this.#draining && (this.#phase === "healthy" || this.#phase === "ejected");
  }

  /** Ejected for its answers, and its wait is over: it may have one request. */
  trialDue(nowMs: number): boolean {
    return (
      !this.#draining &&
      this.#phase === "ejected" &&
      this.#ejectedBy === "answers" &&
      this.#trial === null &&
      nowMs >= this.#trialAtMs &&
      !this.passedOver(nowMs)
    );
  }

  /** Ejected for 5xx answers; such nodes count against the limit of half. */
  get ejectedByAnswers(): boolean {
    return this.#phase === "ejected" && this.#ejectedBy === "answers";
  }

  /** Milliseconds until the next probe, given how many in a row have failed. */
  nextProbeMs(nowMs: number, intervalMs: number): number {
    if (this.#phase === "starting") {
      return Math.min(FIRST_STARTING_PROBE_MS * 2 ** Math.min(this.#probeFailures, 6), 1_000);
    }
    if (this.#phase !== "ejected") {
      return this.#probeFailures === 0 ? intervalMs : Math.min(intervalMs, SUSPECT_PROBE_MS);
    }
    return nowMs - this.#ejectedAtMs < EJECTED_FOR_LONG_MS
      ? Math.min(intervalMs, EJECTED_PROBE_MS)
      : EJECTED_FOR_LONG_PROBE_MS;
  }

  /**
   * A probe came back. `progressed` says that the node sent bytes of some answer while the probe
   * waited: an engine busy with a long prefill is slow to answer probes, and alive.
   */
  probed(result: ProbeResult, nowMs: number, progressed: boolean): void {
    switch (result.kind) {
      case "ok":
        this.#probePassed(nowMs);
        return;
      case "sleeping":
        this.#registeredAgain = false;
        this.#reset("sleeping");
        return;
      case "initializing":
        if (this.#phase !== "starting") this.#reset("starting");
        this.#probeFailures += 1;
        return;
      default:
        if (result.kind === "timeout" && progressed) this.#stillAlive(nowMs);
        else this.#probeFailed(result.kind, nowMs);
        // Nothing that may be there is about to come up.
        if (result.kind === "forbidden" && this.#phase === "starting") this.#eject("probes", nowMs);
    }
  }

  #probePassed(nowMs: number): void {
    this.#probeFailures = 0;
    this.#registeredAgain = false;
    if (this.#phase === "healthy") return;
    if (this.#gaugesSleep) this.#reset("sleeping");
    else if (this.#phase === "ejected" && this.#ejectedBy !== "probes") this.#stillAlive(nowMs);
    else this.#becomeHealthy(nowMs);
  }

  /** Its gauges were read: they say that it is asleep, or they do not. */
  gaugesRead(asleep: boolean, nowMs: number): void {
    const slept = this.#gaugesSleep;
    this.#gaugesSleep = asleep;
    if (asleep) this.#reset("sleeping");
    else if (slept && this.#phase === "sleeping") this.#becomeHealthy(nowMs);
  }

  /** The engine there is another process: what the gauges of the one before said is void. */
  replaced(): void {
    this.#gaugesSleep = false;
  }

  /** It gave a sign of life, if not the one asked for: a row of failures ends here. */
  #stillAlive(nowMs: number): void {
    this.#probeFailures = 0;
    if (this.#phase === "ejected" && this.#ejectedBy === "unproven") this.#awaitTrial(nowMs);
  }

  #probeFailed(kind: ProbeFailure["kind"], nowMs: number): void {
    this.#probeFailures += 1;
    if (this.#phase === "starting") return;
    const noConnection = kind !== "timeout" && kind !== "bad_answer";
    if (this.#registeredAgain && noConnection) {
      this.#reset("starting");
      return;
    }
    const proven = noConnection || this.#probeFailures >= FAILURES_TO_EJECT;
    if (this.#phase === "ejected" && this.#ejectedBy !== "probes") {
      if (this.#ejectedBy === "unproven" || proven) this.#eject("probes", nowMs);
    } else if (this.#phase !== "ejected" && proven) {
      this.#eject("probes", nowMs);
    }
  }

  /** A request found the engine gone: refused, or its connection lost. */
  lost(nowMs: number): void {
    if (this.#phase === "healthy" && this.#registeredAgain) this.#reset("starting");
    else if (this.#phase === "healthy") this.#eject("unproven", nowMs);
  }

  /**
   * A request was answered; enough bad answers in a row eject the node.
   * @param status HTTP status of the engine's answer.
   * @param mayEject Asked when it comes to that; false when less than half of a model's nodes would be left.
   */
  answered(status: number, nowMs: number, mayEject: () => boolean): void {
    this.#badAnswers = isBadAnswer(status) ? this.#badAnswers + 1 : 0;
    if (this.#badAnswers < FAILURES_TO_EJECT || this.#phase !== "healthy" || !mayEject()) return;
    this.#eject("answers", nowMs);
    this.#awaitTrial(nowMs);
  }

  /** The node said "elsewhere for now" (429, 503). @param forMs How long to pass it over, ms. */
  passOver(forMs: number, nowMs: number): void {
    this.#passedOverUntilMs = Math.max(this.#passedOverUntilMs, nowMs + forMs);
  }

  /** True while requests are kept away after a 429 or 503. */
  passedOver(nowMs: number): boolean {
    return nowMs < this.#passedOverUntilMs;
  }

  /** The one trial request was sent; `trial` stands for it. */
  trialStarted(trial: object): void {
    this.#trial = trial;
  }

  /**
   * A trial ended: true passed, false failed, null when it showed nothing (the client left). Any but
   * the one that is open is of no more interest.
   */
  trialEnded(trial: object, passed: boolean | null, nowMs: number): void {
    if (this.#trial !== trial) return;
    this.#trial = null;
    if (this.#phase !== "ejected" || this.#ejectedBy === "probes" || passed === null) return;
    if (passed) {
      this.#becomeHealthy(nowMs);
      return;
    }
    this.#trialWaitMs = Math.min(this.#trialWaitMs * 2, LONGEST_TRIAL_WAIT_MS);
    this.#trialAtMs = nowMs + this.#trialWaitMs;
  }

  /** No new requests from now on; running ones go on. */
  drain(): void {
    this.#draining = true;
  }

  /** The engine registered (again): draining ends; one that was out has to pass a probe first. */
  registered(): void {
    const wasDraining = this.#draining;
    this.#draining = false;
    this.#registeredAgain = true;
    if (wasDraining || this.#phase !== "healthy") this.#reset("starting");
  }

  #awaitTrial(nowMs: number): void {
    this.#ejectedBy = "answers";
    this.#trialWaitMs = FIRST_TRIAL_WAIT_MS;
    this.#trialAtMs = nowMs + this.#trialWaitMs;
    this.#trial = null;
  }

  #eject(by: "probes" | "answers" | "unproven", nowMs: number): void {
    this.#phase = "ejected";
    this.#ejectedBy = by;
    this.#ejectedAtMs = nowMs;
  }

  #becomeHealthy(nowMs: number): void {
    this.#reset("healthy");
    this.#healthySinceMs = nowMs;
  }

  #reset(phase: "starting" | "healthy" | "sleeping"): void {
    this.#phase = phase;
    this.#probeFailures = 0;
    this.#badAnswers = 0;
    this.#trial = null;
    this.#passedOverUntilMs = Number.NEGATIVE_INFINITY;
  }
}

/** 5xx that speaks of a broken engine; 501 and 505 speak of the request, 503 of a busy or sleeping one. */
export function isBadAnswer(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 503 && status !== 505;
}

/** What a node ejected for its answers has to answer to come back. */
export function passesTrial(status: number): boolean {
  return status < 500 && status !== 429;
}

const LONGEST_PASS_OVER_MS = 10_000;
/** Also for a `Retry-After` of 0: retries on busy nodes are free, and would go on at every one of them. */
const LEAST_PASS_OVER_MS = 1_000;

/** For how long a node that asked for `retryAfterMs` is passed over, ms. */
export function passOverMs(retryAfterMs: number): number {
  return Math.min(Math.max(retryAfterMs, LEAST_PASS_OVER_MS), LONGEST_PASS_OVER_MS);
}
