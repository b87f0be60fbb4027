import { Fragment } from "preact";
import { useRef, useState } from "preact/hooks";
import { type Cluster, type NodeRow, nameOf } from "./cluster.ts";
import { ageOf, type NodeActions, NodeDetails } from "./node-details.tsx";
import {
  type Column,
  FLOODED,
  isUnasked,
  type Order,
  ranked,
  SLOW,
  silenceOf,
  VERY_SLOW,
} from "./rank.ts";
import { Spark } from "./spark.tsx";
import { count, duration, latency, percent, plain } from "./words.ts";

/** So many are shown unless somebody wants all: the first are those that something is wrong with. */
const SHOWN = 50;
/** The order changes this often at most, ms: nobody can read or hit what jumps. */
const STILL_MS = 5_000;

const TITLES: readonly (readonly [column: Column, title: string, says: string])[] = [
  ["node", "Node", "Where its engine listens"],
  ["state", "State", "And for how long"],
  ["inFlight", "In flight", "Open requests, and over 15 minutes"],
  ["oldest", "Oldest", "Age of its oldest open request"],
  ["share", "Share", "Of all attempts in the last minute"],
  ["usage", "KV cache", "In use, as its engine says"],
  ["running", "Run / wait", "Requests in its batches, and before them, as its engine says"],
  ["firstByte", "First byte", "Median; beside the median of its peers; over 15 minutes"],
  ["piece", "Per piece", "Median; beside the median of its peers"],
  ["errors", "Errors", "Failed attempts in five minutes, 64 at most"],
];

const FOUND_BY = ["url", "name", "state", "models", "engine", "role", "reason"] as const;

interface NodesProps {
  readonly cluster: Cluster;
  /** The proxy's clock, ms. */
  readonly nowMs: number;
  readonly actions: NodeActions;
}

export function Nodes({ cluster, nowMs, actions }: NodesProps) {
  const [order, setOrder] = useState<Order>(null);
  const [filter, setFilter] = useState("");
  const [all, setAll] = useState(false);
  const [open, setOpen] = useState<number | null>(null);
  const nodes = cluster.nodes;
  const { rows, hold } = useStillOrder(nodes, order, nowMs);
  const wanted = filter.trim().toLowerCase();
  const found = rows.filter((node) =>
    FOUND_BY.some((field) => node.text(field).toLowerCase().includes(wanted)),
  );
  const shown = all ? found : found.slice(0, SHOWN);
  return (
    <section aria-labelledby="nodes-title">
      <header>
        <h2 id="nodes-title">Nodes</h2>
        {nodes.length > 5 && (
          <label class="filter">
            <span>Find</span>
            <input
              type="search"
              value={filter}
              onInput={({ currentTarget }) => setFilter(currentTarget.value)}
            />
          </label>
        )}
        <button
          type="button"
          class="quiet"
          disabled={order === null}
          onClick={() => setOrder(null)}
        >
          Worst first
        </button>
      </header>
      {nodes.length === 0 ? (
        <p class="empty">
          No node yet: start engines with <code>--proxy-url {location.origin}</code>, or add one
          below.
        </p>
      ) : (
        // biome-ignore lint/a11y/noStaticElementInteractions: the order holds still under the pointer, which does nothing else
        <div class="scroll" onMouseEnter={() => hold(true)} onMouseLeave={() => hold(false)}>
          <table class="nodes">
            <thead>
              <tr>
                {TITLES.map(([column, title, says]) => (
                  <th
                    key={column}
                    scope="col"
                    class={`c-${column}`}
                    aria-sort={
                      order !== column ? "none" : column === "node" ? "ascending" : "descending"
                    }
                  >
                    <button type="button" title={says} onClick={() => setOrder(column)}>
                      {title}
                    </button>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {shown.map((node) => (
                <Fragment key={node.key}>
                  <NodeLine
                    node={node}
                    cluster={cluster}
                    nowMs={nowMs}
                    isOpen={open === node.key}
                    toggle={() => setOpen(open === node.key ? null : node.key)}
                  />
                  {open === node.key && (
                    <tr class="details">
                      <td colSpan={TITLES.length}>
                        <NodeDetails
                          node={node}
                          past={cluster.pastOf(node.key)}
                          nowMs={nowMs}
                          freshMs={cluster.about?.freshMs ?? 0}
                          actions={actions}
                        />
                      </td>
                    </tr>
                  )}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found.length > SHOWN && (
        <p class="more">
          <button type="button" onClick={() => setAll(!all)}>
            {all ? `Show the first ${SHOWN}` : `Show all ${count(found.length, "node")}`}
          </button>
        </p>
      )}
      {nodes.length > 0 && found.length === 0 && (
        <p class="empty">None of {nodes.length} is like that.</p>
      )}
    </section>
  );
}

interface Kept {
  keys: readonly number[];
  atMs: number;
  order: Order;
  isHeld: boolean;
  states: string;
}

/** Rows in an order that holds still for a while, and as long as somebody points at them. */
function useStillOrder(nodes: readonly NodeRow[], order: Order, proxyMs: number) {
  const kept = useRef<Kept>({ keys: [], atMs: 0, order, isHeld: false, states: "" });
  const { current } = kept;
  const nowMs = performance.now();
  const states = nodes.map((node) => node.text("state")).join();
  // Whoever goes through the rows by keyboard would lose the place.
  const isHeld = current.isHeld || document.querySelector(".nodes :focus-visible") !== null;
  const isDue =
    order !== current.order ||
    (!isHeld && (states !== current.states || nowMs - current.atMs > STILL_MS));
  if (isDue) {
    current.keys = ranked(nodes, order, proxyMs).map(({ key }) => key);
    Object.assign(current, { atMs: nowMs, order, states });
  }
  const places = new Map(current.keys.map((key, place) => [key, place]));
  const placeOf = ({ key }: NodeRow) => places.get(key) ?? nodes.length;
  return {
    rows: nodes.toSorted((a, b) => placeOf(a) - placeOf(b)),
    hold: (isHeld: boolean) => {
      current.isHeld = isHeld;
    },
  };
}

interface NodeLineProps {
  readonly node: NodeRow;
  readonly cluster: Cluster;
  readonly nowMs: number;
  readonly isOpen: boolean;
  readonly toggle: () => void;
}

function NodeLine({ node, cluster, nowMs, isOpen, toggle }: NodeLineProps) {
  const state = node.text("state");
  const reason = node.text("reason");
  const warm = node.number("warm") ?? 100;
  const past = cluster.pastOf(node.key);
  const [inFlight, firstByte] = past.series;
  const usage = node.number("usage");
  const errors = node.number("errors") ?? 0;
  const foreign = node.number("foreign") ?? 0;
  // Chromium 156 forgets what hangs on a row's class when the row moves: each says for itself how it is.
  const how = state === "healthy" ? "is-in" : "is-out";
  const silence = silenceOf(node, nowMs);
  return (
    <tr class={`node is-${state}`}>
      <th scope="row" class={`c-node ${how}`}>
        <button type="button" aria-expanded={isOpen} onClick={toggle}>
          {nameOf(node)}
        </button>
        {(isUnasked(node) || (state !== "healthy" && reason !== "")) && (
          <p class="reason">{plain(reason)}</p>
        )}
      </th>
      <td class={`c-state ${how}`}>
        <span class={`state is-${state}`}>{state}</span>{" "}
        <small>
          {duration(nowMs - (node.number("sinceMs") ?? nowMs))}
          {state === "healthy" && warm < 100 && `, ${warm} % in`}
        </small>
      </td>
      <Figure title="In flight" of="inFlight">
        {node.number("inFlight")}
        {inFlight !== undefined && <Spark values={inFlight} filled />}
      </Figure>
      <Figure title="Oldest" of="oldest">
        {ageOf(node.number("oldestS"), nowMs)}
        {silence !== null && <small class="bad">silent {duration(silence)}</small>}
      </Figure>
      <Figure title="Share" of="share">
        {node.number("share")} %
      </Figure>
      <Figure title="KV cache" of="usage">
        {usage === null ? "–" : <Meter fraction={usage} />}
        <Stale node={node} nowMs={nowMs} />
      </Figure>
      <Figure title="Run / wait" of="running">
        {node.number("running") ?? "–"} / {node.number("waiting") ?? "–"}
        {foreign >= FLOODED && <small class="warn">{foreign} not ours</small>}
      </Figure>
      <Figure title="First byte" of="firstByte">
        <Beside ms={node.number("firstByteMs")} ratio={node.number("firstByteRatio")} />
        {firstByte !== undefined && <Spark values={firstByte} />}
      </Figure>
      <Figure title="Per piece" of="piece">
        <Beside ms={node.number("pieceMs")} ratio={node.number("pieceRatio")} />
      </Figure>
      <Figure title="Errors" of="errors">
        {errors === 0 ? <span class="none">0</span> : <b class="bad">{errors}</b>}
      </Figure>
    </tr>
  );
}

interface FigureProps {
  readonly title: string;
  readonly of: Column;
  readonly children: preact.ComponentChildren;
}

/** On a narrow screen the title stands beside each figure, and not above the column. */
function Figure({ title, of, children }: FigureProps) {
  return (
    <td class={`figure c-${of}`}>
      <span class="title" aria-hidden="true">
        {title}
      </span>
      <span class="value">{children}</span>
    </td>
  );
}

function Meter({ fraction }: { fraction: number }) {
  return (
    <>
      <span class={fraction > 0.9 ? "meter full" : "meter"} aria-hidden="true">
        <span style={{ width: `${Math.min(100 * fraction, 100)}%` }} />
      </span>
      {percent(fraction)}
    </>
  );
}

/** The age of what its engine said, once that is old: until then it tells nothing. */
function Stale({ node, nowMs }: { node: NodeRow; nowMs: number }) {
  const sampledMs = node.number("sampledMs");
  if (sampledMs === null || sampledMs === 0) return null;
  return <small class="warn">{duration(nowMs - sampledMs)} old</small>;
}

function Beside({ ms, ratio }: { ms: number | null; ratio: number | null }) {
  if (ms === null) return <>–</>;
  const how = ratio === null || ratio < SLOW ? "" : ratio < VERY_SLOW ? "warn" : "bad";
  return (
    <>
      {latency(ms)} {ratio !== null && <small class={how}>{ratio.toFixed(1)}×</small>}
    </>
  );
}
