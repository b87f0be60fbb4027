import type { NodeRow, Past } from "./cluster.ts";
import { Pairs } from "./pairs.tsx";
import { highest, Spark } from "./spark.tsx";
import { count, duration, latency } from "./words.ts";

export interface NodeActions {
  drain(url: string): void;
  undrain(url: string): void;
  /** Asks first. */
  remove(url: string): void;
}

interface NodeDetailsProps {
  readonly node: NodeRow;
  readonly past: Past;
  readonly nowMs: number;
  /** Its gauges are not older while nothing else is said, ms. */
  readonly freshMs: number;
  readonly actions: NodeActions;
}

/** All that is known of one node, and what can be done with it. */
export function NodeDetails({ node, past, nowMs, freshMs, actions }: NodeDetailsProps) {
  const url = node.text("url");
  const role = node.text("role");
  const [inFlight, firstByte, attempts] = past.series;
  const facts: readonly (readonly [name: string, value: string])[] = [
    ["URL", url],
    ["Serves", node.text("models") || "no model known"],
    ["Engine", node.text("engine") || "not known yet"],
    ["Role", role],
    ["Last error", node.text("reason") || "none"],
    ["Gauges", sampleOf(node, nowMs, freshMs)],
    ["Runs / waits", `${node.number("running") ?? "–"} / ${node.number("waiting") ?? "–"}`],
    ["Oldest", ageOf(node.number("oldestS"), nowMs)],
    ["Share", `${node.number("share") ?? 0} % of attempts`],
    ...(role === "Hybrid"
      ? []
      : [
          ["Pairs", count(node.number("pairs") ?? 0, "engine")] as const,
          ["Sessions", String(node.number("sessions") ?? 0)] as const,
        ]),
  ];
  return (
    <div class="node-details">
      <Pairs facts={facts} />
      <div class="sparks">
        <Wide title="In flight" values={inFlight} draw={String} filled />
        <Wide title="Attempts in 10 s" values={attempts} draw={String} filled />
        <Wide title="First byte" values={firstByte} draw={latency} />
      </div>
      <p class="actions">
        {node.text("state") === "draining" ? (
          <button type="button" onClick={() => actions.undrain(url)}>
            Undrain
          </button>
        ) : (
          <button type="button" onClick={() => actions.drain(url)}>
            Drain
          </button>
        )}
        <button type="button" class="danger" onClick={() => actions.remove(url)}>
          Remove…
        </button>
      </p>
    </div>
  );
}

export function ageOf(sinceS: number | null, nowMs: number): string {
  return sinceS === null ? "–" : duration(nowMs - 1_000 * sinceS);
}

function sampleOf(node: NodeRow, nowMs: number, freshMs: number): string {
  const sampledMs = node.number("sampledMs");
  if (sampledMs === null) return "never read";
  const isFresh = sampledMs === 0;
  return isFresh ? `at most ${duration(freshMs)} old` : `${duration(nowMs - sampledMs)} old`;
}

interface WideProps {
  readonly title: string;
  readonly values: Float32Array | undefined;
  readonly draw: (value: number) => string;
  readonly filled?: boolean;
}

function Wide({ title, values, draw, filled = false }: WideProps) {
  if (values === undefined) return null;
  const most = highest(values);
  return (
    <figure>
      <figcaption>
        {title}, 15 min{most !== null && <small> highest {draw(most)}</small>}
      </figcaption>
      <Spark values={values} filled={filled} />
    </figure>
  );
}
