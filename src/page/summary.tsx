import { useState } from "preact/hooks";
import { STEP_MS } from "../observe/live-frame.ts";
import { call, messageOf } from "./calls.ts";
import type { Cluster, ModelRow } from "./cluster.ts";
import type { Standing } from "./connection.ts";
import { keys } from "./keys.ts";
import { highest, Spark } from "./spark.tsx";
import { duration, latency, plain } from "./words.ts";

/** From so much silence on, what is shown is said to be old, ms. */
const OLD_MS = 4_000;

interface SummaryProps {
  readonly cluster: Cluster;
  readonly standing: Standing;
  readonly silentMs: number;
  readonly nowMs: number;
  readonly forget: () => void;
}

/** The first question at three in the morning: is it us? */
export function Summary({ cluster, standing, silentMs, nowMs, forget }: SummaryProps) {
  const { about, totals, nodes } = cluster;
  const healthy = nodes.filter((node) => node.text("state") === "healthy");
  // Where it takes one of each, those of the other make up for none.
  const lacking = (about?.needed ?? []).filter(
    (role) => role !== "Hybrid" && !healthy.some((node) => node.text("role") === role),
  );
  const [inFlight, requests, failed, firstByte] = cluster.past.series;
  const last = (series: Float32Array | undefined) => Math.max(series?.at(-1) ?? 0, 0);
  const perS = last(requests) / (STEP_MS / 1_000);
  const failures =
    failed === undefined ? 0 : failed.reduce((sum, one) => sum + Math.max(one, 0), 0);
  const firstByteMs = firstByte?.findLast((value) => value >= 0);
  return (
    <header class="summary">
      <div class="bar">
        <h1>lmproxy</h1>
        {about !== null && (
          <p class="about">
            {about.version} · {about.mode === "DistServe" ? "DistServe · " : ""}
            {about.strategy} · up {duration(nowMs)}
          </p>
        )}
        <Pulse standing={standing} silentMs={silentMs} leaving={totals.leaving === 1} />
        <nav>
          <a href="/docs">All calls</a>
          {keys.admin !== null && (
            <button type="button" class="quiet" onClick={forget}>
              Forget key
            </button>
          )}
        </nav>
      </div>
      {about !== null && (
        <dl class="tiles">
          <Tile title="Nodes healthy" isBad={healthy.length < nodes.length || lacking.length > 0}>
            {healthy.length} <small>of {nodes.length}</small>
            {lacking.length > 0 && <small class="bad"> no {lacking.join(", no ")}</small>}
          </Tile>
          <Tile title="In flight" series={inFlight} filled>
            {totals.open}
            {totals.waiting > 0 && <small class="warn"> {totals.waiting} wait</small>}
          </Tile>
          <Tile title="Requests a second" series={requests} filled>
            {perS < 10 ? perS.toFixed(1) : Math.round(perS)}
          </Tile>
          <Tile title="First byte" series={firstByte}>
            {firstByteMs === undefined ? "–" : latency(firstByteMs)}
          </Tile>
          <Tile title="Failed in 15 min" series={failed} isBad={failures > 0} filled>
            {failures}
          </Tile>
        </dl>
      )}
    </header>
  );
}

interface TileProps {
  readonly title: string;
  readonly series?: Float32Array | undefined;
  readonly isBad?: boolean;
  readonly filled?: boolean;
  readonly children: preact.ComponentChildren;
}

function Tile({ title, series, isBad = false, filled = false, children }: TileProps) {
  const isEmpty = series === undefined || highest(series) === null;
  return (
    <div class={isBad ? "tile is-bad" : "tile"}>
      <dt>{title}</dt>
      <dd>
        <span class="value">{children}</span>
        {!isEmpty && <Spark values={series} filled={filled} />}
      </dd>
    </div>
  );
}

interface PulseProps {
  readonly standing: Standing;
  readonly silentMs: number;
  readonly leaving: boolean;
}

/** Whether what is shown is what is. */
function Pulse({ standing, silentMs, leaving }: PulseProps) {
  const [how, says] =
    standing.is === "lost"
      ? ["bad", `Not connected. ${standing.message} Trying again…`]
      : standing.is !== "open"
        ? ["warn", "Connecting…"]
        : silentMs > OLD_MS
          ? ["warn", `Nothing new for ${duration(silentMs)}`]
          : leaving
            ? ["warn", "Live; the proxy is about to end"]
            : ["good", "Live"];
  return <p class={`pulse ${how}`}>{says}</p>;
}

interface ModelsProps {
  readonly models: readonly ModelRow[];
  /** Roles of which a request takes a node each. */
  readonly needed: readonly string[];
}

export function Models({ models, needed }: ModelsProps) {
  return (
    <section aria-labelledby="models-title">
      <header>
        <h2 id="models-title">Models</h2>
      </header>
      {models.length === 0 ? (
        <p class="empty">None is known yet.</p>
      ) : (
        <ul class="entries models">
          {models.map((model) => {
            const healthy = model.text("healthy").split(" ");
            const nodes = model.text("nodes").split(" ");
            return (
              <li key={model.key}>
                <span class="what">{plain(model.text("name"))}</span>
                {needed.map((role, at) => (
                  <span key={role} class={healthy[at] === "0" ? "bad" : ""}>
                    {role === "Hybrid" ? "" : `${role} `}
                    {healthy[at]} of {nodes[at]} healthy
                  </span>
                ))}
                <span>{model.number("inFlight")} in flight</span>
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}

interface AddNodeProps {
  readonly mode: string;
  readonly added: (url: string) => void;
}

export function AddNode({ mode, added }: AddNodeProps) {
  const [url, setUrl] = useState("");
  const [role, setRole] = useState("Prefill");
  const [error, setError] = useState<string | null>(null);
  const add = async () => {
    try {
      await call("POST", "/nodes/add", mode === "DistServe" ? { url, role } : { url });
      setError(null);
      setUrl("");
      added(url);
    } catch (problem) {
      setError(messageOf(problem));
    }
  };
  return (
    <section aria-labelledby="add-title">
      <header>
        <h2 id="add-title">Add a node</h2>
      </header>
      <form
        class="add"
        onSubmit={(event) => {
          event.preventDefault();
          void add();
        }}
      >
        <label>
          <span>URL</span>
          <input
            type="url"
            required
            placeholder="http://10.0.0.7:23333"
            value={url}
            onInput={({ currentTarget }) => setUrl(currentTarget.value)}
          />
        </label>
        {mode === "DistServe" && (
          <label>
            <span>Role</span>
            <select value={role} onChange={({ currentTarget }) => setRole(currentTarget.value)}>
              <option>Prefill</option>
              <option>Decode</option>
            </select>
          </label>
        )}
        <button type="submit">Add</button>
      </form>
      {error !== null && (
        <p class="error" role="alert">
          {plain(error)}
        </p>
      )}
    </section>
  );
}
