/** Every engine fails every request: how many more the engines see than the clients sent. */

import { startProxy } from "../../test/support/proxy.ts";
import { RAW_ANSWERS } from "../../test/support/raw-answers.ts";
import { rawPost } from "../../test/support/raw-client.ts";
import { httpAnswer, type RawStep, startRawServer } from "../../test/support/raw-server.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { endingOf, type Figure, group, Tally } from "./tally.ts";

const CLIENTS = 20;
const ENGINES = 4;

const OUTAGES: Readonly<Record<string, readonly RawStep[]>> = {
  500: [{ send: httpAnswer("{}", [], "500 Internal Server Error") }],
  503: [{ send: httpAnswer("{}", ["retry-after: 0"], "503 Service Unavailable") }],
  resets: RAW_ANSWERS.reset,
};

export async function breakEverything(
  requests: number,
): Promise<{ tally: Tally; figures: Figure[] }> {
  const tally = new Tally();
  const figures: Figure[] = [];
  for (const [what, steps] of Object.entries(OUTAGES)) {
    const engines = Array.from({ length: ENGINES }, () => startRawServer({ script: () => steps }));
    const nodes = engines.flatMap(({ url }) => ["--node", url]);
    await using proxy = await startProxy([...nodes, "--log-level", "error"]);
    await untilHealthy(proxy, ENGINES);
    const startedMs = performance.now();
    let sent = 0;
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (sent < requests) {
        sent += 1;
        tally.add(endingOf(await rawPost(proxy.port, "/generate", { model: "tiny" }).ended));
      }
    });
    await Promise.all(clients);
    const seconds = (performance.now() - startedMs) / 1_000;
    let seen = 0;
    for (const engine of engines) {
      seen += engine.requests.filter(({ method }) => method === "POST").length;
      engine.stop();
    }
    // What a node has in its hands as it goes out moves for nothing, and half of them go out; what is
    // under way when all say that they are busy is tried at two more, and so is what comes a second later.
    const tried = 2 * CLIENTS * (Math.floor(seconds) + 1);
    const moved = { 500: 0, 503: tried, resets: CLIENTS }[what] ?? 0;
    const most = Math.floor(1.2 * sent + 3 * (seconds + 1) + moved);
    figures.push({
      name: `attempts at the engines, all of them: ${what}`,
      value: `${group(seen)} for ${group(sent)}, ${(seen / sent).toFixed(3)} times`,
      goal: `at most ${group(most)}`,
      ok: seen <= most,
    });
  }
  return { tally, figures };
}
