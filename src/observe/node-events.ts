import type { Clock } from "../core/clock.ts";
import type { NodeState } from "../core/pool/health.ts";
import { loggedNode, type Node } from "../core/pool/node.ts";
import type { Registry } from "../core/pool/registry.ts";
import type { EventLog } from "./log.ts";

/** How often it is looked at which nodes have still not answered, ms. */
const LOOK_MS = 1_000;
/** A node that has not answered yet is said so often, ms. */
const SAY_AGAIN_MS = 60_000;

/**
 * For so many looks a request that has ended may still show in a node's gauges: LMDeploy's are up to 10 s
 * old, and read every 5 s.
 */
const SHOWS_LOOKS = 20;
/** Of what a node shows, so much more than is ours is somebody else's. */
const TIMES_OURS = 2;
const AND_MORE = 8;
/** Gauges that are older say nothing of now, ms. */
const SAMPLE_MS = 15_000;
/** It has to show for so many looks in a row. */
const LOOKS_IN_A_ROW = 5;

/** What is remembered of a node, for what there is to say of it. */
interface Known {
  /** Monotonic, ms: since when it has been out, or has not answered yet. */
  sinceMs: number;
  /** When it was last said that it has not answered yet. */
  saidAtMs: number | null;
  /** It answered once: it is not about to start any more. */
  hasAnswered: boolean;
  /** It drains, and it has not been said that it is drained. */
  drains: boolean;
  /** The models that it was last known to serve; none while it has named none. */
  models: readonly string[];
  /** Our requests that ended since the last look, and between the looks before. */
  ended: number;
  readonly endedBefore: number[];
  /** For how many looks in a row it has shown more than is ours, and when that was said, monotonic, ms. */
  looksOver: number;
  overSaidAtMs: number | null;
}

/** Says in the log what happens to nodes, with the cause of each change at the level it deserves. */
export class NodeEvents {
  readonly #registry: Registry;
  readonly #log: EventLog;
  readonly #clock: Pick<Clock, "now" | "every">;
  readonly #known = new Map<Node, Known>();
  #stop: () => void = () => {};

  constructor(registry: Registry, log: EventLog, clock: Pick<Clock, "now" | "every">) {
    this.#registry = registry;
    this.#log = log;
    this.#clock = clock;
  }

  start(): void {
    for (const node of this.#registry.nodes()) this.#added(node);
    const unsubscribe = this.#registry.subscribe({
      nodeAdded: (node) => this.#added(node),
      nodeRemoved: (node) => {
        this.#known.delete(node);
        this.#log.info("node removed", { ...loggedNode(node), unfinished: node.inFlight });
      },
      // That it was gone is what it is out for.
      nodeRestarted: (node, by) => {
        if (by === "registered" && this.#known.has(node)) {
          this.#log.info("node registered again", {
            ...loggedNode(node),
            unfinished: node.inFlight,
          });
        }
      },
      membershipChanged: () => this.#lookAtModels(),
      stateChanged: (node, from, to) => this.#changed(node, from, to),
      leaseEnded: ({ node }) => this.ended(node, 1),
    });
    const cancel = this.#clock.every(LOOK_MS, () => this.#look());
    this.#stop = () => {
      unsubscribe();
      cancel();
    };
  }

  stop(): void {
    this.#stop();
  }

  /** So many requests have ended there, maybe of other processes, which tell of it some time after. */
  ended(node: Node, count: number): void {
    const known = this.#known.get(node);
    if (known === undefined) return;
    known.ended += count;
    this.#lookForDrained(node, known);
  }

  #added(node: Node): void {
    this.#known.set(node, {
      sinceMs: this.#clock.now(),
      saidAtMs: null,
      hasAnswered: false,
      drains: false,
      models: node.models,
      ended: 0,
      endedBefore: [],
      looksOver: 0,
      overSaidAtMs: null,
    });
    const models = node.models.length === 0 ? null : named(node.models);
    this.#log.info("node added", { ...loggedNode(node), role: node.role, models });
  }

  #lookAtModels(): void {
    for (const [node, known] of this.#known) {
      const { models: before } = known;
      const { models } = node;
      // A moment between two lists is none.
      if (models === before || models.length === 0) continue;
      known.models = models;
      const added = without(models, before);
      const removed = without(before, models);
      if (before.length === 0 || (added.length === 0 && removed.length === 0)) continue;
      this.#log.info("models of the node changed", {
        ...loggedNode(node),
        ...(added.length > 0 && { added: named(added) }),
        ...(removed.length > 0 && { removed: named(removed) }),
      });
    }
  }

  #changed(node: Node, from: NodeState, to: NodeState): void {
    const known = this.#known.get(node);
    // One that was removed goes on changing while its last requests run.
    if (known === undefined) return;
    const nowMs = this.#clock.now();
    if (to === "unhealthy") this.#out(node, from);
    else if (to === "healthy") this.#well(node, from, known, nowMs);
    else if (to === "draining") {
      this.#log.info("node is draining", { ...loggedNode(node), unfinished: node.inFlight });
    } else if (to === "sleeping") this.#log.warning("node is asleep", loggedNode(node));
    else this.#log.info("node is starting", { ...loggedNode(node), from, reason: node.lastError });
    // Whoever drains one, or has it sleep, wants that.
    if (to === "unhealthy" || (to === "starting" && from === "healthy")) this.#lookForLast(node);
    known.sinceMs = nowMs;
    known.saidAtMs = null;
    known.drains = to === "draining";
  }

  #well(node: Node, from: NodeState, known: Known, nowMs: number): void {
    const afterS = Math.round((nowMs - known.sinceMs) / 100) / 10;
    if (known.hasAnswered)
      this.#log.info("node is back", { ...loggedNode(node), from, after_s: afterS });
    else this.#log.info("node is ready", { ...loggedNode(node), after_s: afterS });
    known.hasAnswered = true;
  }

  #out(node: Node, from: NodeState): void {
    const peers = this.#registry.serving(null, node.role);
    const left = peers.filter((peer) => peer.health.state === "healthy").length;
    const reason = node.lastError;
    this.#log.warning("node is out", { ...loggedNode(node), from, reason, left, of: peers.length });
  }

  #lookForLast(node: Node): void {
    const gone = node.models.filter((model) => !this.#isServed(model, node));
    if (gone.length === 0) return;
    this.#log.error("no healthy node is left", {
      models: named(gone),
      role: node.role,
      ...loggedNode(node),
      reason: node.lastError,
    });
  }

  #isServed(model: string, { role }: Node): boolean {
    return this.#registry.serving(model, role).some((node) => node.health.state === "healthy");
  }

  #look(): void {
    const nowMs = this.#clock.now();
    for (const [node, known] of this.#known) {
      this.#lookForOthers(node, known, nowMs);
      // Its last request may have ended in another process, or there was none.
      this.#lookForDrained(node, known);
    }
    this.#lookForSilent(nowMs);
  }

  #lookForDrained(node: Node, known: Known): void {
    if (!known.drains || node.inFlight > 0) return;
    known.drains = false;
    this.#log.info("node is drained: nothing is in flight", loggedNode(node));
  }

  /** Whoever sends a node requests past the proxy makes it slow, and nothing else shows why. */
  #lookForOthers(node: Node, known: Known, nowMs: number): void {
    known.endedBefore.push(known.ended);
    known.ended = 0;
    if (known.endedBefore.length < SHOWS_LOOKS) return;
    const most = node.inFlight + known.endedBefore.reduce((sum, ended) => sum + ended, 0);
    known.endedBefore.shift();
    const { sample } = node.cache;
    const isOld = (node.cache.ageMs(nowMs) ?? Number.POSITIVE_INFINITY) > SAMPLE_MS;
    const { running, waiting } = sample ?? { running: null, waiting: null };
    const isOver = !isOld && (running ?? 0) + (waiting ?? 0) > TIMES_OURS * most + AND_MORE;
    known.looksOver = isOver ? known.looksOver + 1 : 0;
    if (known.overSaidAtMs !== null && !isOver) {
      known.overSaidAtMs = null;
      this.#log.info("node runs what it was sent again", loggedNode(node));
    }
    if (known.looksOver < LOOKS_IN_A_ROW) return;
    if (known.overSaidAtMs !== null && nowMs - known.overSaidAtMs < SAY_AGAIN_MS) return;
    known.overSaidAtMs = nowMs;
    this.#log.warning("node runs more than it was sent", {
      ...loggedNode(node),
      running,
      waiting,
      sent: most,
    });
  }

  /** A node that was named and never answered would else be silent for ever. */
  #lookForSilent(nowMs: number): void {
    for (const [node, known] of this.#known) {
      const reason = node.lastError;
      if (node.health.state !== "starting" || reason === null) continue;
      if (known.saidAtMs !== null && nowMs - known.saidAtMs < SAY_AGAIN_MS) continue;
      known.saidAtMs = nowMs;
      const forS = Math.round((nowMs - known.sinceMs) / 1_000);
      const probes = node.health.probeFailures;
      this.#log.warning("node does not answer yet", {
        ...loggedNode(node),
        reason,
        for_s: forS,
        probes,
      });
    }
  }
}

function without(models: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return models.filter((model) => !known.has(model));
}

/** Names in a field: not all, if they are many. */
function named(models: readonly string[]): string {
  const more = models.length - 5;
  return models.slice(0, 5).join(" ") + (more > 0 ? ` and ${more} more` : "");
}
