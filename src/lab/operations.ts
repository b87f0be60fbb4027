import type { Role } from "../core/engine/roles.ts";
import { Lease } from "../core/pool/lease.ts";
import type { Node } from "../core/pool/node.ts";
import { LOOK_MS } from "../core/pool/watch.ts";
import type { EngineParams } from "../sim/model/engine-params.ts";
import { type ClusterEvent, type ClusterShape, SLOWER } from "./clusters.ts";
import { EngineNode } from "./engine-node.ts";
import { speedOf } from "./engines.ts";
import type { VirtualTime } from "./virtual-time.ts";
import type { Workers } from "./workers.ts";

/** How often LMDeploy brings its gauges up to date, ms. */
const GAUGES_MS = 10_000;
/** How often the proxy reads them, and probes, ms: its defaults. */
const POLL_MS = 5_000;
const PROBE_MS = 5_000;
/** When a probe that somebody wants is answered, ms. */
const PROBE_TAKES_MS = 2;
const WARM_UP_MS = 10_000;
const MODEL = "m";

/** Whatever happens to nodes beside requests: they join and die, are probed and polled. */
export class Operations {
  readonly #workers: Workers;
  readonly #time: VirtualTime;
  readonly #random: () => number;
  readonly #onJoin: (node: Node, engine: EngineNode) => void;
  readonly #engines: EngineNode[] = [];
  #params: EngineParams | null = null;

  constructor(
    workers: Workers,
    time: VirtualTime,
    random: () => number,
    onJoin: (node: Node, engine: EngineNode) => void,
  ) {
    this.#workers = workers;
    this.#time = time;
    this.#random = random;
    this.#onJoin = onJoin;
    for (const registry of workers.registries) {
      registry.subscribe({ probeWanted: ({ url }) => this.#probeSoon(url) });
    }
  }

  /** All nodes join; when this returns they are brought in. */
  start({ speeds, roles, events }: ClusterShape, params: EngineParams): void {
    this.#params = params;
    for (const [i, speed] of speeds.entries()) this.#join(speed, roles?.[i]);
    this.#time.advance(WARM_UP_MS);
    this.#repeat(LOOK_MS, () => this.#look());
    for (const event of events) this.#time.after(event.atS * 1_000, () => this.#happen(event));
  }

  #join(speed: number, role: Role = "Hybrid"): void {
    if (this.#params === null) return;
    const url = `http://n${this.#engines.length}`;
    const params = { ...this.#params, ...speedOf(this.#params, speed) };
    const engine = new EngineNode(url, params, this.#time);
    this.#engines.push(engine);
    const registration = { models: [MODEL], role, speed: null };
    for (const { membership } of this.#workers.registries) {
      this.#onJoin(membership.register(url, registration), engine);
    }
    this.#repeat(GAUGES_MS, () => {
      if (engine.alive) engine.refreshGauges();
    });
    this.#repeat(POLL_MS, () => this.#poll(engine));
    this.#repeat(PROBE_MS, () => this.#probe(url));
  }

  #happen({ what, node }: ClusterEvent): void {
    if (what === "joins") this.#join(1);
    const engine = this.#engines[node];
    if (engine === undefined || what === "joins") return;
    if (what === "dies") engine.die();
    else if (what === "returns") engine.comeBack();
    else engine.changeSpeed(what === "slows" ? 1 / SLOWER : 1);
  }

  /** The proxy looks at what is silent; answers that have begun go on meanwhile. */
  #look(): void {
    const { nowMs } = this.#time;
    for (const registry of this.#workers.registries) {
      for (const { leases } of registry.nodes()) {
        for (const lease of leases) {
          if (lease instanceof Lease && lease.firstByteAtMs !== null) lease.piece(nowMs);
        }
      }
      registry.learning.look();
    }
  }

  /** Each in its own time, as engines and the proxy's questions are. */
  #repeat(everyMs: number, act: () => void): void {
    const again = () => {
      act();
      this.#time.after(everyMs, again);
    };
    this.#time.after(this.#random() * everyMs, again);
  }

  #poll(engine: EngineNode): void {
    if (!engine.alive) return;
    const sample = { ...engine.gauges, prefix: engine.prefixCounts };
    this.#workers.forEach(engine.url, ({ learning }, node) => {
      if (node.health.listens) learning.sampled(node, sample, "lmdeploy", this.#time.nowMs);
    });
  }

  #probeSoon(url: string): void {
    this.#time.after(PROBE_TAKES_MS, () => this.#probe(url));
  }

  /** What it finds is found for all. */
  #probe(url: string): void {
    const isAlive = this.#engines.find((engine) => engine.url === url)?.alive === true;
    const result = isAlive
      ? ({ kind: "ok" } as const)
      : ({ kind: "refused", detail: "no connection" } as const);
    this.#workers.forEach(url, ({ learning }, node) => learning.probed(node, result, false));
  }
}
