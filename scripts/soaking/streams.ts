/** Many streams at the same time, for long: no error, no drift in memory. */
import { startProxy } from "../../test/support/proxy.ts";
import { rawPost } from "../../test/support/raw-client.ts";
import { until } from "../../test/support/until.ts";
import { untilHealthy } from "../../test/support/until-healthy.ts";
import { MemoryTrend } from "./memory-trend.ts";
import { endingOf, exactly, type Figure, shown, Tally } from "./tally.ts";

/** A token each so many ms, as a loaded engine gives them, and so many tokens an answer. */
const TOKEN_MS = 100;
const TOKENS = 300;
const ENGINE = ["scripts/soaking/ticking-engine.ts", `${TOKEN_MS}`, `${TOKENS}`];

export async function keepStreams(
  count: number,
  durationMs: number,
  random: () => number,
): Promise<{ tally: Tally; figures: Figure[] }> {
  const engine = Bun.spawn([process.execPath, ...ENGINE], { stdout: "pipe", stderr: "inherit" });
  const line = await engine.stdout.getReader().read();
  const url = new TextDecoder().decode(line.value).trim();
  await using proxy = await startProxy(["--node", url, "--log-level", "error"]);
  await untilHealthy(proxy);
  const trend = new MemoryTrend(proxy.process.pid);
  const tally = new Tally();
  const endMs = performance.now() + durationMs;
  let least = count;
  const clients = Array.from({ length: count }, async () => {
    // Spread over one answer's time, or all would end in the same moment again and again.
    await new Promise((resume) => setTimeout(resume, random() * TOKENS * TOKEN_MS));
    while (performance.now() < endMs) {
      tally.add(endingOf(await rawPost(proxy.port, "/generate", { model: "tiny" }).ended));
    }
  });
  const rampMs = TOKENS * TOKEN_MS;
  const watch = setInterval(async () => {
    const isFull = performance.now() > endMs - durationMs + rampMs && performance.now() < endMs;
    const open = (await proxy.status())[url]?.unfinished ?? 0;
    if (isFull) least = Math.min(least, open);
  }, 2_000);
  await Promise.all(clients);
  clearInterval(watch);
  trend.stop();
  let left = -1;
  await until("nothing is in flight", async () => {
    left = (await proxy.status())[url]?.unfinished ?? -1;
    return left === 0;
  }).catch(() => {});
  engine.kill();
  return {
    tally,
    figures: [
      exactly(`${count} streams at once: not completed`, tally.sent - tally.of("completed"), 0),
      shown("  fewest at the same time", `${least}`),
      exactly("  counters left", left, 0),
      shown("  memory growth", trend.text, "at most 5 MB/h"),
    ],
  };
}
