/** 1 of 4 engines is killed again and again: no request without a first byte may be lost. */
import { rawPost } from "../../test/support/raw-client.ts";
import { until } from "../../test/support/until.ts";
import { Cluster } from "./cluster.ts";
import { endingOf, exactly, type Figure, group, shown, Tally } from "./tally.ts";

const CLIENTS = 32;
const ENGINES = 4;

export async function killEngines(
  requests: number,
  random: () => number,
): Promise<{ tally: Tally; figures: Figure[] }> {
  await using cluster = await Cluster.start({ engines: ENGINES, timeScale: 1 });
  const { proxy } = cluster;
  const tally = new Tally();
  let isOver = false;
  let kills = 0;
  const body = { model: "tiny", prompt: "x", max_tokens: 40, ignore_eos: true };
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (tally.sent < requests || !isOver) {
      const stream = random() < 0.5;
      const { ended } = rawPost(proxy.port, "/v1/completions", { ...body, stream });
      tally.add(endingOf(await ended));
    }
  });
  while (tally.sent < requests) {
    const index = Math.floor(random() * ENGINES);
    await cluster.kill(index);
    kills += 1;
    const sentBefore = tally.sent;
    await cluster.revive(index);
    await cluster.untilHealthy(index);
    // Whoever met this kill is done before the next one.
    await until("the load has moved on", () => tally.sent >= sentBefore + 2 * CLIENTS);
  }
  isOver = true;
  await Promise.all(clients);
  const left = await cluster.leftOver();
  return {
    tally,
    figures: [
      exactly("lost without a first byte, 1 of 4 killed", tally.of("failed"), 0, tally.sent),
      shown("  engines killed", group(kills)),
      shown("  streams broken by it, visibly", group(tally.of("broken"))),
      exactly("  counters left", left, 0),
    ],
  };
}
