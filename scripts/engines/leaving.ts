/** Clients that go away, in each phase of a request: the engine must be free at once. */
import type { ProxyProcess } from "../../test/support/proxy.ts";
import { type RawExchange, rawPost } from "../../test/support/raw-client.ts";
import type { Engine } from "./engine.ts";
import type { Row } from "./report.ts";

/** Long enough that nothing of it ends by itself meanwhile. */
const LONG = { model: "tiny", max_tokens: 3_000, temperature: 0, ignore_eos: true };
const CHAT = { ...LONG, messages: [{ role: "user", content: "Tell a long story" }] };
const LIMIT_MS = 10_000;
/** Above this an engine was not freed by the client's leaving. */
const FREED_WITHIN_MS = 4_000;

interface Phase {
  readonly what: string;
  readonly path: string;
  readonly body: object;
  /** Requests that take all places before the one that leaves. */
  readonly isBehindOthers?: boolean;
  readonly untilWord?: boolean;
}

const PHASES: readonly Phase[] = [
  {
    ...{ what: "streamed, after the first words", path: "/v1/chat/completions", untilWord: true },
    body: { ...CHAT, stream: true },
  },
  { what: "not streamed, while it is computed", path: "/v1/chat/completions", body: CHAT },
  {
    ...{ what: "streamed, while it waits inside a full engine", path: "/v1/chat/completions" },
    ...{ body: { ...CHAT, stream: true }, isBehindOthers: true },
  },
  {
    ...{ what: "completions, streamed", path: "/v1/completions", untilWord: true },
    body: { ...LONG, prompt: "Tell", stream: true },
  },
  {
    ...{ what: "messages, streamed", path: "/v1/messages", untilWord: true },
    body: { ...CHAT, stream: true },
  },
  {
    ...{ what: "responses, streamed", path: "/v1/responses", untilWord: true },
    body: { model: "tiny", input: "Tell", max_output_tokens: 3_000, stream: true, store: false },
  },
];

export async function leave(engine: Engine, proxy: ProxyProcess): Promise<Row[]> {
  const rows: Row[] = [];
  for (const phase of PHASES) {
    const others = phase.isBehindOthers
      ? Array.from({ length: engine.kind.places }, () => ask(proxy, phase))
      : [];
    await reached(engine, async () => (await engine.atWork()) === others.length);
    const leaver = ask(proxy, phase);
    const began = await reached(engine, async () =>
      phase.untilWord
        ? leaver.receivedBytes > 400
        : (await engine.atWork()) > others.length || others.length > 0,
    );
    if (!phase.untilWord) await Bun.sleep(200);
    leaver.leave();
    for (const other of others) other.leave();
    const freed = await reached(engine, async () => (await engine.atWork()) === 0);
    const left = await inFlight(proxy);
    const isGood = began !== null && freed !== null && freed < FREED_WITHIN_MS && left === 0;
    rows.push({
      ...{ part: "leaving", kind: engine.kind.name, what: phase.what },
      verdict: isGood ? "good" : "bad",
      seen:
        began === null
          ? `did not begin: ${leaver.answer().status} ${leaver.answer().body.toString().slice(0, 100)}`
          : `engine idle ${freed === null ? "never" : `after ${freed.toFixed(0)} ms`}, ${left} in flight at lmproxy`,
    });
  }
  return rows;
}

function ask(proxy: ProxyProcess, { path, body }: Phase): RawExchange {
  return rawPost(proxy.port, path, body, { headers: ["anthropic-version: 2023-06-01"] });
}

async function inFlight(proxy: ProxyProcess): Promise<number> {
  return Object.values(await proxy.status()).reduce((sum, { unfinished }) => sum + unfinished, 0);
}

/** How long it took to come true, ms; null when it did not. */
async function reached(engine: Engine, check: () => Promise<boolean>): Promise<number | null> {
  const startMs = performance.now();
  while (performance.now() - startMs < LIMIT_MS) {
    if (await check()) return performance.now() - startMs;
    await Bun.sleep(engine.kind.pollMs);
  }
  return null;
}
