import type { ProbeFailure, ProbeResult } from "../engine/health-answer.ts";
import { probeDelayMs } from "./probe-delay.ts";
import { isBadAnswer } from "./statuses.ts";
import { type Doubt, Trials } from "./trials.ts";

/** The states of a node as `/nodes/status` shows them. */
export type NodeState = "starting" | "healthy" | "sleeping" | "unhealthy" | "draining";

/** Probe time-outs or failed answers in a row that eject a node. */
const FAILURES_TO_EJECT = 2;
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
  /** 5xx answers since its last other one. */
  badAnswers = 0;
  #ejectedAtMs = 0;
  /** A node lost by a request is `unproven` until the probe that triggers has told how it may return. */
  #ejectedBy: "probes" | "answers" | "unproven" = "probes";
  /** The client's request whose lost connection took it out, or null. */
  #lostBy: object | null = null;
  /** Its last probe said that it starts. */
  #isLoading = false;
  readonly #trials = new Trials();
  #passedOverUntilMs = Number.NEGATIVE_INFINITY;
  /** When it was last found well after it was not, ms. */
  #healthySinceMs = Number.NEGATIVE_INFINITY;
  /** It registered again and has not passed a probe since: a refusal means "not yet", not "gone". */
  #registeredAgain = false;
  /** Its gauges said last that it is asleep: some answer `/health` as if they were not. */
  #gaugesSleep = false;

  get state(): NodeState {
    if (this.#draining) return "draining";
    if (this.#phase !== "ejected") return this.#phase;
    return this.#trials.onParole ? "healthy" : "unhealthy";
  }

  /** Probes in a row that failed. */
  get probeFailures(): number {
    return this.#probeFailures;
  }

  /** Its engine is believed to answer, draining or not. */
  get alive(): boolean {
    return this.#phase === "healthy" || this.#trials.onParole;
  }

  /** An engine is believed to listen there, if only to say that it is asleep. */
  get listens(): boolean {
    return this.alive || this.#phase === "sleeping";
  }

  /** Since when it is in good health, ms; Infinity while it is not. */
  get healthySinceMs(): number {
    return this.#phase === "healthy" ? this.#healthySinceMs : Number.POSITIVE_INFINITY;
  }

  /** No engine is believed to listen there: it has not come up yet, or probes found it gone. */
  get down(): boolean {
    return (
      this.#phase === "starting" || (this.#phase === "ejected" && this.#ejectedBy === "probes")
    );
  }

  /** An engine is about to be there: it says that it starts, or one that was well registered again. */
  get comesBack(): boolean {
    const wasWell = this.#healthySinceMs !== Number.NEGATIVE_INFINITY;
    return this.state === "starting" && (this.#isLoading || wasWell);
  }

  /** 0 (just joined) to 1 (fully brought in). */
  warm(nowMs: number): number {
    return Math.min(Math.max((nowMs - this.healthySinceMs) / WARM_UP_MS, 0), 1);
  }

  /** May get new requests. @param isLookup The request asks for what the node keeps, which is no new work. */
  routable(nowMs: number, isLookup = false): boolean {
    return this.#phase === "healthy" && (isLookup || !this.#draining) && !this.passedOver(nowMs);
  }

  /** Ejected or passed over, but worth trying when nothing else is left. */
  get lastResort(): boolean {
    return !this.#draining && (this.#phase === "healthy" || this.#phase === "ejected");
  }

  /** Ejected for its answers, and its wait is over: it may have one request. @param othersHad See `Trials`. */
  trialDue(nowMs: number, othersHad = Number.POSITIVE_INFINITY): boolean {
    return (
      !this.#draining &&
      this.#phase === "ejected" &&
      this.#ejectedBy === "answers" &&
      this.#trials.due(nowMs, othersHad) &&
      !this.passedOver(nowMs)
    );
  }

  /** Out although its probes have not failed; such nodes count against the limit of half. */
  get outForConduct(): boolean {
    return this.#phase === "ejected" && this.#ejectedBy !== "probes";
  }

  /** Why it is out and waits for a trial; null when that is not so. */
  get doubt(): Doubt | null {
    return this.#phase === "ejected" && this.#ejectedBy === "answers" ? this.#trials.doubt : null;
  }

  /** Until the next probe, ms, given how many in a row have failed. */
  nextProbeMs(nowMs: number, intervalMs: number): number {
    const outForMs = this.#phase === "ejected" ? nowMs - this.#ejectedAtMs : null;
    return probeDelayMs(this.#phase === "starting", outForMs, this.#probeFailures, intervalMs);
  }

  /**
   * A probe came back. `progressed` says that the node sent bytes of some answer while the probe
   * waited: an engine busy with a long prefill is slow to answer probes, and alive.
   */
  probed(result: ProbeResult, nowMs: number, progressed: boolean): void {
    this.#isLoading = result.kind === "initializing";
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

  /** A sign of life, if not the one asked for: a row of failures ends here. */
  #stillAlive(nowMs: number): void {
    this.#probeFailures = 0;
    if (this.#phase !== "ejected" || this.#ejectedBy !== "unproven") return;
    this.#ejectedBy = "answers";
    this.#trials.begin("answers", nowMs);
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

  /**
   * A request found the engine gone: refused, or its connection lost.
   * @param by Stands for the client's request.
   */
  lost(nowMs: number, by: object | null = null): void {
    if (this.#phase !== "healthy") return;
    if (this.#registeredAgain) {
      this.#reset("starting");
      return;
    }
    this.#lostBy = by;
    this.#eject("unproven", nowMs);
  }

  /** Whether it is out since this client's request lost its connection, and no probe has failed. */
  wasLostBy(request: object): boolean {
    return this.outForConduct && this.#lostBy === request;
  }

  /** It was not its fault: back, as if it had never been out. */
  absolve(): void {
    const healthySinceMs = this.#healthySinceMs;
    this.#reset("healthy");
    this.#healthySinceMs = healthySinceMs;
  }

  /** It answers its probes, and is not to be trusted all the same: out, until a request on trial shows better. */
  doubted(why: Doubt, nowMs: number): void {
    if (this.#phase !== "healthy") return;
    this.#eject("answers", nowMs);
    this.#trials.begin(why, nowMs);
  }

  /** Nothing has been asked of it or its peers for `QUIET_MS`, and a probe has passed. */
  quiet(): void {
    if (this.doubt !== null) this.#trials.onParole = true;
  }

  /**
   * A request was answered with the HTTP status `status`. Returns whether that makes enough bad answers in a row to
   * eject the node (`doubted`), if less than half of a model's nodes are out.
   */
  answered(status: number): boolean {
    this.badAnswers = isBadAnswer(status) ? this.badAnswers + 1 : 0;
    return this.badAnswers >= FAILURES_TO_EJECT && this.#phase === "healthy";
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
    this.#trials.started(trial);
  }

  /**
   * A trial ended: true passed, false failed, null when it showed nothing (the client left), `alike` when it had failed
   * and peers then refused the same. Any but the one that is open, or failed last, is of no more interest.
   */
  trialEnded(trial: object, passed: boolean | null | "alike", nowMs: number): void {
    if (passed === "alike") this.#trials.showedNothing(trial, nowMs);
    if (!this.#trials.ended(trial) || typeof passed !== "boolean") return;
    if (this.#phase !== "ejected" || this.#ejectedBy === "probes") return;
    if (!passed) this.#trials.failed(trial, nowMs);
    else if (this.#trials.passed(nowMs)) this.#becomeHealthy(nowMs);
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

  #eject(by: "probes" | "answers" | "unproven", nowMs: number): void {
    this.#phase = "ejected";
    this.#ejectedBy = by;
    this.#ejectedAtMs = nowMs;
    this.#trials.onParole = false;
  }

  #becomeHealthy(nowMs: number): void {
    this.#reset("healthy");
    this.#healthySinceMs = nowMs;
  }

  #reset(phase: "starting" | "healthy" | "sleeping"): void {
    this.#phase = phase;
    this.#trials.over();
    this.#lostBy = null;
    this.#probeFailures = 0;
    this.badAnswers = 0;
    this.#passedOverUntilMs = Number.NEGATIVE_INFINITY;
  }
}
