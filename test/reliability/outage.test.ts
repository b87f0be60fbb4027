/** A total outage is not multiplied: how many requests the engines see together. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { ask, times } from "../support/ask.ts";
import { startProxy } from "../support/proxy.ts";
import { RAW_ANSWERS } from "../support/raw-answers.ts";
import { httpAnswer, type RawServer, type RawStep, startRawServer } from "../support/raw-server.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const REQUESTS = 1_000;
const AT_ONCE = 20;
/** Longer than it is remembered of a node that it has failed, ms. */
const LONG_MS = 2_500;

const OUTAGES: Readonly<Record<string, readonly RawStep[]>> = {
  "a 500": [{ send: httpAnswer("{}", [], "500 Internal Server Error") }],
  "a 502": [{ send: httpAnswer("{}", [], "502 Bad Gateway") }],
  "a 503": [{ send: httpAnswer("{}", [], "503 Service Unavailable") }],
  "a 503 with Retry-After: 0": [
    { send: httpAnswer("{}", ["retry-after: 0"], "503 Service Unavailable") },
  ],
  "a 429": [{ send: httpAnswer("{}", [], "429 Too Many Requests") }],
  "a reset": RAW_ANSWERS.reset,
  "silence until the time limit": RAW_ANSWERS.silence,
};

/** Without polls of `/metrics`. */
function postsOf({ requests }: RawServer): number {
  return requests.filter(({ method }) => method === "POST").length;
}

for (const [what, steps] of Object.entries(OUTAGES)) {
  test.concurrent(`when every engine gives ${what}, they see at most 1.2 times the requests, plus 3 a second`, async () => {
    const engines = times(4, null).map(() => startRawServer({ script: () => steps }));
    const nodes = engines.flatMap(({ url }) => ["--node", url]);
    await using proxy = await startProxy([...nodes, "--first-byte-timeout", "0.05"]);
    await untilHealthy(proxy, engines.length);
    const startedMs = performance.now();
    const untilMs = startedMs + (what === "a 500" ? LONG_MS : 0);
    const requests = steps === RAW_ANSWERS.silence ? REQUESTS / 5 : REQUESTS;
    let left = requests;
    const statuses = new Set<number>();
    await Promise.all(
      times(AT_ONCE, null).map(async () => {
        while (left > 0 || performance.now() < untilMs) {
          left -= 1;
          const answer = await ask(proxy);
          await answer.bytes();
          statuses.add(answer.status);
        }
      }),
    );
    const seconds = (performance.now() - startedMs) / 1_000;
    const sent = requests - left;
    const seen = engines.reduce((sum, engine) => sum + postsOf(engine), 0);
    expect(statuses).not.toContain(200);
    expect(seen).toBeGreaterThanOrEqual(sent);
    // Who says that he is busy is passed over for a second; then all are tried again.
    const tried = what.startsWith("a 503") || what === "a 429" ? 2 * AT_ONCE * seconds : 0;
    // The three of the second that has begun are there at once, and so is what nodes had when they went out.
    expect(seen).toBeLessThanOrEqual(1.2 * sent + 3 * (seconds + 1) + AT_ONCE + tried);
    for (const engine of engines) engine.stop();
  });
}

test("an engine that fails fast does not attract requests by looking idle", async () => {
  let answers = 0;
  // Two of three are good, or it would be ejected: answers overtake each other, and three bad ones may come in a row.
  const failing = startRawServer({
    script: () => [
      { send: httpAnswer('{"choices":[{}]}', [], answers++ % 3 === 0 ? "500 X" : "200 OK") },
    ],
  });
  const slow = times(3, null).map(() =>
    startRawServer({ script: () => [{ waitMs: 30 }, { send: httpAnswer('{"choices":[{}]}') }] }),
  );
  const nodes = [failing, ...slow].flatMap(({ url }) => ["--node", url]);
  await using proxy = await startProxy([...nodes, "--health-interval", "600", "--no-retry"]);
  await untilHealthy(proxy, 4);
  let left = 400;
  await Promise.all(
    times(AT_ONCE, null).map(async () => {
      while (left > 0) {
        left -= 1;
        await (await ask(proxy)).bytes();
      }
    }),
  );
  expect(proxy.log()).not.toContain("node is out");
  expect(postsOf(failing)).toBeLessThan(400 / 4);
  for (const engine of [failing, ...slow]) engine.stop();
});
