import type { ProbeResult } from "../../../src/core/engine/health-answer.ts";
import { NodeHealth } from "../../../src/core/pool/health.ts";

/**
 * What happens to a node's health, in words: probes (`ok`, `sleeping`, `initializing`, `refused`, `forbidden`,
 * `timeout`, `timeout+` with byte progress, `bad`), requests (`lost`, a status, `500!` when it may
 * not eject), trials (`trial`, `passed`, `failed`, `unclear`), `busy:ms`, `drain`, `register`, `wait:ms`.
 */
export class HealthScript {
  readonly health = new NodeHealth();
  nowMs = 1_000_000;
  #trial = {};

  constructor(words = "") {
    this.play(words);
  }

  play(words: string): this {
    for (const word of words.split(" ")) if (word !== "") this.#step(word);
    return this;
  }

  #step(word: string): void {
    const [what = "", ms] = word.split(":");
    const event = this.#events(Number(ms))[what];
    if (event === undefined) this.#answered(word);
    else event();
  }

  #events(ms: number): Readonly<Record<string, () => void>> {
    const { health, nowMs } = this;
    const probed = (result: ProbeResult, progressed = false) =>
      health.probed(result, nowMs, progressed);
    const detail = "no";
    return {
      ok: () => probed({ kind: "ok" }),
      sleeping: () => probed({ kind: "sleeping" }),
      initializing: () => probed({ kind: "initializing" }),
      refused: () => probed({ kind: "refused", detail }),
      forbidden: () => probed({ kind: "forbidden", detail }),
      timeout: () => probed({ kind: "timeout", detail }),
      "timeout+": () => probed({ kind: "timeout", detail }, true),
      bad: () => probed({ kind: "bad_answer", detail }),
      lost: () => health.lost(nowMs),
      trial: () => health.trialStarted(this.#newTrial()),
      passed: () => health.trialEnded(this.#trial, true, nowMs),
      failed: () => health.trialEnded(this.#trial, false, nowMs),
      unclear: () => health.trialEnded(this.#trial, null, nowMs),
      busy: () => health.passOver(ms, nowMs),
      drain: () => health.drain(),
      register: () => health.registered(),
      wait: () => {
        this.nowMs += ms;
      },
    };
  }

  #newTrial(): object {
    this.#trial = {};
    return this.#trial;
  }

  #answered(word: string): void {
    const status = Number.parseInt(word, 10);
    if (Number.isNaN(status)) throw new Error(`no such step: ${word}`);
    const isToGo = this.health.answered(status) && !word.endsWith("!");
    if (isToGo) this.health.doubted("answers", this.nowMs);
  }

  get routable(): boolean {
    return this.health.routable(this.nowMs);
  }

  /** How long until a trial is due, ms; null when it is not within ten minutes. */
  get trialDueInMs(): number | null {
    for (let ms = 0; ms <= 600_000; ms += 50) {
      if (this.health.trialDue(this.nowMs + ms)) return ms;
    }
    return null;
  }
}
