import type { FailureRow, RequestRow } from "./cluster.ts";
import { bytes, clockTime, duration, plain, withoutScheme } from "./words.ts";

/** An answer that has stood still for so long may hang, ms. */
const HANGS_MS = 30_000;

interface RequestsProps {
  readonly requests: readonly RequestRow[];
  /** How many there are in all. */
  readonly open: number;
  readonly nowMs: number;
  readonly cancel: (id: string) => void;
  readonly explain: (id: string) => void;
}

export function Requests({ requests, open, nowMs, cancel, explain }: RequestsProps) {
  return (
    <section aria-labelledby="requests-title">
      <header>
        <h2 id="requests-title">In flight, oldest first</h2>
        {open > requests.length && (
          <small>
            {requests.length} of {open}
          </small>
        )}
      </header>
      {requests.length === 0 ? (
        <p class="empty">Nothing runs and nothing waits.</p>
      ) : (
        <ul class="entries">
          {requests.map((request) => {
            const id = request.text("id");
            const quietMs = request.number("quietMs");
            const isQuiet = quietMs !== null && quietMs > 0;
            const silentMs = isQuiet ? nowMs - quietMs : 0;
            return (
              <li key={request.key}>
                <span class="age">{duration(nowMs - (request.number("beganMs") ?? nowMs))}</span>
                <span class="what">
                  <b>{request.text("phase")}</b> {plain(request.text("model"))}
                  {request.text("node") !== "" && (
                    <> on {plain(withoutScheme(request.text("node")))}</>
                  )}
                  <small>
                    {id} · {plain(request.text("client"))} ·{" "}
                    {bytes(request.number("bytesOut") ?? 0)}
                    {(request.number("attempts") ?? 0) > 1 &&
                      ` attempt ${request.number("attempts")}`}
                    {isQuiet && (
                      <span class={silentMs > HANGS_MS ? "bad" : "warn"}>
                        {" "}
                        nothing for {duration(silentMs)}
                      </span>
                    )}
                  </small>
                </span>
                <span class="acts">
                  <Act name="Why?" id={id} act={explain} />
                  <Act name="Cancel…" id={id} act={cancel} />
                </span>
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}

interface ActProps {
  readonly name: string;
  /** Of a request. */
  readonly id: string;
  readonly act: (id: string) => void;
}

function Act({ name, id, act }: ActProps) {
  return (
    <button type="button" class="quiet" aria-label={`${name} ${id}`} onClick={() => act(id)}>
      {name}
    </button>
  );
}

interface FailuresProps {
  readonly failures: readonly FailureRow[];
  /** Wall clock when the proxy's own was 0, ms since 1970. */
  readonly epochMs: number;
  readonly nowMs: number;
  readonly explain: (id: string) => void;
}

export function Failures({ failures, epochMs, nowMs, explain }: FailuresProps) {
  return (
    <section aria-labelledby="failures-title">
      <header>
        <h2 id="failures-title">Last failures</h2>
      </header>
      {failures.length === 0 ? (
        <p class="empty">None so far.</p>
      ) : (
        <ul class="entries">
          {failures.map((failure) => (
            <li key={failure.key}>
              <span class="age">{duration(nowMs - (failure.number("endedMs") ?? nowMs))} ago</span>
              <span class="what">
                <b class="bad">{failure.number("status")}</b> {failure.text("outcome")}
                {failure.text("detail") !== "" && `: ${plain(failure.text("detail"))}`}
                {(failure.number("count") ?? 1) > 1 && ` (${failure.number("count")} alike)`}
                <small>
                  {[
                    clockTime(epochMs + (failure.number("endedMs") ?? 0)),
                    failure.text("id"),
                    failure.text("error"),
                    failure.text("model"),
                    withoutScheme(failure.text("node")),
                    failure.text("client"),
                    `after ${duration(failure.number("tookMs") ?? 0)}`,
                  ]
                    .filter((word) => word !== "")
                    .map(plain)
                    .join(" · ")}
                </small>
              </span>
              <span class="acts">
                <Act name="Why?" id={failure.text("id")} act={explain} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
