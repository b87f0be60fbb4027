import { isObject } from "../../core/json-object.ts";
import { BlockSize } from "./block-size.ts";
import { amount, amountOr, hashIds, type Line, timeMs, tokens, wrong } from "./fields.ts";
import { Prefixes } from "./prefixes.ts";
import { objectIn, type Reader } from "./reader.ts";
import type { Recorded, TraceRequest } from "./trace.ts";

/** Where a session does not say what a block is, and one cannot tell, tokens. */
const BLOCK_TOKENS = 64;
/** A request of a session, and which agent of it asks. */
interface Turn {
  readonly line: Line;
  /** One conversation each: the session itself and every subagent. */
  readonly agent: number;
}

/** When a session's requests begin, ms; null where its file does not say. */
interface Session {
  readonly startMs: number | null;
  /** The place after its last request. */
  readonly end: number;
}

/**
 * Sessions of agents, one a line, as recorded from coding agents: `requests` with `t` (s from the
 * beginning of the session), `in` and `out` (tokens) and `hash_ids` that mean something within the
 * session only; `block_size` where it is stated; `api_time` and `think_time` (s) where recorded. An
 * entry with `requests` of its own is a subagent. Where a file does not say when its sessions began
 * (`start` or `timestamp`), they begin by chance within as long as the longest of them lasts.
 */
export class AgentSessions implements Reader {
  readonly #random: () => number;
  readonly #prefixes = new Prefixes();
  readonly #blockSize = new BlockSize();
  /** Times from the beginning of their sessions. */
  readonly #requests: TraceRequest[] = [];
  readonly #sessions: Session[] = [];
  #agents = 0;
  #longestMs = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  line(text: string, number: number): void {
    const session = objectIn(text, number);
    this.#blockSize.state(amountOr(session, "block_size", 0));
    const last = new Map<number, { readonly place: number; readonly turn: Line }>();
    let agents = 1;
    for (const { line: turn, agent } of turnsOf(session)) {
      const before = last.get(agent);
      last.set(agent, { place: this.#requests.length, turn });
      agents = Math.max(agents, agent + 1);
      const atMs = amount(turn, "t") * 1_000;
      this.#longestMs = Math.max(this.#longestMs, atMs);
      const inputTokens = tokens(turn, "in");
      const ids = hashIds(turn);
      this.#blockSize.fit(inputTokens, ids.length);
      this.#requests.push({
        atMs,
        inputTokens,
        outputTokens: tokens(turn, "out"),
        prefix: this.#prefixes.of(ids),
        session: this.#agents + agent,
        after: before?.place ?? -1,
        pauseMs: pauseMs(turn, before?.turn),
      });
    }
    this.#prefixes.forgetNames();
    this.#agents += agents;
    this.#sessions.push({ startMs: startMs(session), end: this.#requests.length });
  }

  end(): Recorded {
    const requests: TraceRequest[] = [];
    for (const { startMs, end } of this.#sessions) {
      const drawnMs = this.#random() * this.#longestMs;
      const zeroMs = startMs ?? drawnMs;
      for (const request of this.#requests.slice(requests.length, end)) {
        requests.push({ ...request, atMs: zeroMs + request.atMs });
      }
    }
    return { blockTokens: this.#blockSize.or(BLOCK_TOKENS), prefixes: this.#prefixes, requests };
  }
}

function startMs(session: Line): number | null {
  const field = ["start", "timestamp"].find((name) => (session.value[name] ?? null) !== null);
  return field === undefined ? null : timeMs(session, field, 1_000);
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
  return turns.sort((a, b) => amount(a.line, "t") - amount(b.line, "t"));
}

function wrongRequests(session: Line): Error {
  return wrong(session, "requests", "a list of objects");
}

/** What the agent did between the answer before and this request, ms; between the requests if that is all we know. */
function pauseMs(turn: Line, before: Line | undefined): number {
  if (before === undefined) return 0;
  const gapS = amount(turn, "t") - amount(before, "t") - amountOr(before, "api_time", 0);
  return Math.max(0, amountOr(turn, "think_time", gapS)) * 1_000;
}
