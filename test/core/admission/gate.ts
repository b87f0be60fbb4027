import { Admission, type AdmissionOptions } from "../../../src/core/admission/admission.ts";
import { Admitted } from "../../../src/core/admission/admitted.ts";
import type { Role } from "../../../src/core/engine/roles.ts";
import { ProxyError } from "../../../src/core/errors.ts";
import type { Wanted } from "../../../src/core/pool/choose.ts";
import type { Node } from "../../../src/core/pool/node.ts";
import { Signal } from "../../../src/core/signal.ts";
import { NOTHING_ASKED } from "../../../src/core/strategies/strategy.ts";
import { Cluster, MODEL, OK } from "../../../src/lab/cluster.ts";

/** A request that asked to be admitted, and what became of it. */
export class Asker {
  place: Admitted | null = null;
  refused: unknown = null;
  readonly #signal: Signal;

  constructor(answer: () => Admitted | Promise<Admitted>, signal: Signal) {
    this.#signal = signal;
    try {
      const got = answer();
      if (got instanceof Admitted) this.place = got;
      else void this.#await(got);
    } catch (error) {
      this.refused = error;
    }
  }

  async #await(coming: Promise<Admitted>): Promise<void> {
    try {
      this.place = await coming;
    } catch (error) {
      this.refused = error;
    }
  }

  /** `in`, `waits`, `gone` (it left), or the status and kind of the refusal. */
  get state(): string {
    if (this.place !== null) return "in";
    if (this.refused === null) return "waits";
    if (this.refused instanceof ProxyError) return `${this.refused.status} ${this.refused.kind}`;
    return this.refused === GONE ? "gone" : String(this.refused);
  }

  leave(): void {
    this.#signal.abort(GONE);
  }

  /** The request is done: its answer was read, and whoever sent it lets go. */
  finish(): void {
    this.place?.lease.end(OK);
    this.place?.drop();
  }
}

const GONE = new Error("the client left");

export interface Asked {
  readonly model?: string | null;
  readonly client?: string;
  readonly only?: Node;
  readonly role?: Role;
}

/** An admission before a cluster, in virtual time. */
export class Gate {
  readonly cluster: Cluster;
  readonly admission: Admission;

  constructor(
    options: Partial<AdmissionOptions> = {},
    cluster: ConstructorParameters<typeof Cluster>[0] = { nodes: 1 },
  ) {
    this.cluster = new Cluster(cluster);
    this.admission = new Admission(this.cluster.registry, {
      maxConcurrency: Number.POSITIVE_INFINITY,
      maxPerClient: Number.POSITIVE_INFINITY,
      queueSize: 1_000,
      queueTimeoutMs: 30_000,
      after: this.cluster.time.after,
      ...options,
    });
  }

  /** Asks to be admitted; some later turns may be needed until it is. */
  ask({ model = MODEL, client = "c", only, role = "Hybrid" }: Asked = {}): Asker {
    const signal = new Signal();
    const asked = NOTHING_ASKED;
    const wanted: Wanted = { model, role, asked, tried: new Set(), only: only ?? null };
    return new Asker(() => this.admission.admit(wanted, client, signal), signal);
  }

  /** Moves on by `ms`, and lets everybody hear what happened. */
  async pass(ms: number): Promise<void> {
    this.cluster.time.advance(ms);
    await heard();
  }
}

/** Lets those who wait for a promise hear of it. */
export async function heard(): Promise<void> {
  for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
}
