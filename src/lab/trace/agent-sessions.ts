import { isObject } from "../../core/json-object.ts";
import { amount, amountOr, hashIds, type Line, tokens } from "./fields.ts";
import { Prefixes, type Recorded, TraceError, type TraceRequest } from "./trace.ts";

/** Where a session does not say what a block is, and one cannot tell, tokens. */
const BLOCK_TOKENS = 64;
/** A request of a session, and which agent of it asks. */
interface Turn {
  readonly line: Line;
  /** One conversation each: the session itself and every subagent. */
  readonly agent: number;
}

/**
 * Sessions of agents, one a line, as recorded from coding agents: `requests` with `t` (s from the
 * beginning of the session), `in` and `out` (tokens) and `hash_ids` that mean something within the
 * session only; `block_size` where it is stated; `api_time` and `think_time` (s) where recorded. An
 * entry with `requests` of its own is a subagent. Where a file does not say when its sessions began,
 * they begin by chance within as long as the longest of them lasts.
 */
export function agentSessions(lines: readonly Line[], random: () => number): Recorded {
  const sessions = lines.map((line) => ({ line, turns: turnsOf(line) }));
  const spanS = Math.max(0, ...sessions.flatMap(({ turns }) => turns.map(timeS)));
  const blockTokens = blockTokensOf(
    sessions.flatMap(({ turns }) => turns),
    lines,
  );
  const prefixes = new Prefixes();
  const requests: TraceRequest[] = [];
  let agents = 0;
  sessions.forEach(({ line, turns }, session) => {
    const drawnS = random() * spanS;
    const startMs = amountOr(line, "start", amountOr(line, "timestamp", drawnS)) * 1_000;
    const last = new Map<number, { readonly place: number; readonly turn: Line }>();
    for (const { line: turn, agent } of turns) {
      const atMs = startMs + amount(turn, "t") * 1_000;
      const before = last.get(agent);
      last.set(agent, { place: requests.length, turn });
      requests.push({
        atMs,
        inputTokens: tokens(turn, "in"),
        outputTokens: tokens(turn, "out"),
        blocks: prefixes.of(hashIds(turn), String(session)),
        session: agents + agent,
        after: before?.place ?? -1,
        pauseMs: pauseMs(turn, before?.turn),
      });
    }
    agents += 1 + Math.max(0, ...turns.map(({ agent }) => agent));
  });
  return { blockTokens, requests };
}

function timeS({ line }: Turn): number {
  return amount(line, "t");
}

function turnsOf(session: Line): Turn[] {
  let agents = 0;
  const turns: Turn[] = [];
  const take = (given: unknown, agent: number) => {
    if (!Array.isArray(given)) throw wrongRequests(session);
    for (const value of given) {
      if (!isObject(value)) throw wrongRequests(session);
      if ("requests" in value) take(value["requests"], ++agents);
      else turns.push({ line: { number: session.number, value }, agent });
    }
  };
  take(session.value["requests"], 0);
  return turns.sort((a, b) => timeS(a) - timeS(b));
}

function wrongRequests({ number }: Line): TraceError {
  return new TraceError(`Line ${number} of the trace: \`requests\` must be a list of objects.`);
}

/** What the agent did between the answer before and this request, ms; between the requests if that is all we know. */
function pauseMs(turn: Line, before: Line | undefined): number {
  if (before === undefined) return 0;
  const gapS = amount(turn, "t") - amount(before, "t") - amountOr(before, "api_time", 0);
  return Math.max(0, amountOr(turn, "think_time", gapS)) * 1_000;
}

/** As stated, else the power of two that fits most turns. */
function blockTokensOf(turns: readonly Turn[], sessions: readonly Line[]): number {
  for (const session of sessions) {
    const stated = amountOr(session, "block_size", 0);
    if (stated >= 1) return Math.round(stated);
  }
  const votes = new Map<number, number>();
  for (const { line } of turns) {
    const blocks = hashIds(line).length;
    if (blocks < 4) continue;
    const size = 2 ** Math.round(Math.log2(tokens(line, "in") / blocks));
    votes.set(size, (votes.get(size) ?? 0) + 1);
  }
  const [best] = [...votes].sort((a, b) => b[1] - a[1]);
  return best === undefined ? BLOCK_TOKENS : Math.max(1, best[0]);
}
