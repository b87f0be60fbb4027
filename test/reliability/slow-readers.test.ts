/** Clients that do not read: the engine is held back, and the proxy's memory stays bounded. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { times } from "../support/ask.ts";
import { startFirehose } from "../support/firehose.ts";
import { residentBytes } from "../support/memory.ts";
import { startProxy } from "../support/proxy.ts";
import { rawPost } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

const CLIENTS = 100;
const MOST_GROWTH_BYTES = 256 * 1024 * 1024;
/** The kernel's buffers on the way may hold this much of an answer. */
const MOST_BUFFERED_BYTES = 32_000_000;

for (const answerBytes of [200_000_000, 2_000_000_000]) {
  test(`${CLIENTS} clients that read nothing of ${answerBytes / 1e6} MB: at most 256 MiB more`, async () => {
    const engine = startFirehose(answerBytes);
    await using proxy = await startProxy(["--node", engine.url]);
    await untilHealthy(proxy);
    const before = residentBytes(proxy.process.pid);
    const body = { model: "tiny" };
    const exchanges = times(CLIENTS, null).map(() =>
      rawPost(proxy.port, "/generate", body, { paused: true }),
    );
    await until("all answers are under way", () => engine.open === CLIENTS);
    let sentBytes = -1;
    let still = 0;
    await until("the engine can send no more", () => {
      still = engine.sentBytes === sentBytes ? still + 1 : 0;
      sentBytes = engine.sentBytes;
      return still >= 50;
    });
    // What has passed through is garbage for a while.
    await until("no more memory is held than that", () => {
      return residentBytes(proxy.process.pid) - before <= MOST_GROWTH_BYTES;
    });
    expect(engine.sentBytes).toBeLessThan(CLIENTS * MOST_BUFFERED_BYTES);
    expect((await fetch(`${proxy.url}/health`)).status).toBe(200);

    const [first, ...others] = exchanges;
    for (const exchange of others) exchange.leave();
    await until("the engine is rid of those who left", () => engine.open === 1);
    if (answerBytes < 1e9) {
      first?.resume();
      const answer = await first?.ended;
      expect([answer?.complete, answer?.body.length]).toEqual([true, answerBytes]);
    }
    first?.leave();
    await until("none is counted", async () => {
      return (await proxy.status())[engine.url]?.unfinished === 0;
    });
    engine.stop();
  });
}
