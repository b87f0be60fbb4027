/** Whether the log and `/metrics` say the same, to the request. */
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { figures as samples } from "../../src/commands/doctor/page-figures.ts";
import { until } from "../../test/support/until.ts";
import { exactly, type Figure } from "./tally.ts";

/** A file for a proxy's log: an hour of it is more than a process wants to keep. */
export class LogFile {
  readonly #folder = mkdtempSync(join(tmpdir(), "lmproxy-soak-"));
  readonly path = join(this.#folder, "log");
  /** In place of the command that runs lmproxy: its standard error goes to the file. */
  readonly command = [
    ...["sh", "-c", 'log="$1"; shift; exec "$0" "$@" 2>"$log"'],
    ...[process.execPath, this.path, "src/main.ts"],
  ];

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

const Line = Type.Object({ level: Type.String(), msg: Type.String() });
const RequestLine = Type.Object({
  msg: Type.Literal("request"),
  path: Type.String(),
  status: Type.Integer(),
  outcome: Type.String(),
  node: Type.Optional(Type.String()),
  tried: Type.Optional(Type.String()),
});

type Counts = Map<string, number>;

function add(counts: Counts, name: string, by = 1): void {
  counts.set(name, (counts.get(name) ?? 0) + by);
}

/** What a log says: requests by path, status and outcome, attempts by node, errors nobody expects. */
async function readLog(path: string) {
  const requests: Counts = new Map();
  const attempts: Counts = new Map();
  let errors = 0;
  for await (const text of createInterface({ input: createReadStream(path) })) {
    const line: unknown = text.startsWith("{") ? JSON.parse(text) : null;
    if (Value.Check(RequestLine, line)) {
      add(requests, `${line.path} ${line.status} ${line.outcome}`);
      // As `http://a:1:lost http://b:1:500`.
      const before = (line.tried ?? "").split(" ").filter((tried) => tried !== "");
      for (const tried of before) add(attempts, tried.slice(0, tried.lastIndexOf(":")));
      if (line.node !== undefined) add(attempts, line.node);
    } else if (Value.Check(Line, line)) {
      // All engines of a soak may be down at once.
      if (line.level === "error" && line.msg !== "no healthy node is left") errors += 1;
    } else if (text !== "") errors += 1;
  }
  return { requests, attempts, errors };
}

/** What `/metrics` says of the same. */
async function readMetrics(proxyUrl: string) {
  const page = await (await fetch(`${proxyUrl}/metrics`)).text();
  const requests: Counts = new Map();
  for (const { labels, value } of samples(page, "lmproxy_requests_total")) {
    add(requests, `${labels["endpoint"]} ${labels["code"]} ${labels["outcome"]}`, value);
  }
  const attempts: Counts = new Map();
  for (const { labels, value } of samples(page, "lmproxy_node_requests_total")) {
    add(attempts, labels["node"] ?? "", value);
  }
  const [lost] = samples(page, "lmproxy_log_lines_lost_total");
  return { requests, attempts, linesLost: lost?.value ?? -1 };
}

/** How many are counted by one and not by the other. */
function apart(one: Counts, other: Counts): number {
  const names = new Set([...one.keys(), ...other.keys()]);
  return [...names].reduce(
    (sum, name) => sum + Math.abs((one.get(name) ?? 0) - (other.get(name) ?? 0)),
    0,
  );
}

function sum(counts: Counts): number {
  return [...counts.values()].reduce((all, count) => all + count, 0);
}

/** Figures that are off unless log and metrics agree. @param logPath Of a proxy that has nothing to do. */
export async function agreement(proxyUrl: string, logPath: string) {
  const metrics = await readMetrics(proxyUrl);
  let log = await readLog(logPath);
  // A line is written a moment after it is counted.
  const isWritten = async () => {
    log = await readLog(logPath);
    return sum(log.requests) >= sum(metrics.requests);
  };
  if (sum(log.requests) < sum(metrics.requests))
    await until("it is logged", isWritten).catch(() => {});
  const figures: Figure[] = [
    exactly("  requests in the log", sum(log.requests), sum(metrics.requests)),
    exactly("  told apart by path, status, outcome", apart(log.requests, metrics.requests), 0),
    exactly("  attempts in the log", sum(log.attempts), sum(metrics.attempts)),
    exactly("  told apart by node", apart(log.attempts, metrics.attempts), 0),
    exactly("  lines of the log lost", metrics.linesLost, 0),
    exactly("  errors in its log", log.errors, 0),
  ];
  return { figures, requests: sum(metrics.requests), attempts: sum(metrics.attempts) };
}
