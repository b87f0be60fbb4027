/** `--timeout` is the whole request's, with all that it waits for between its attempts. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until.ts";
import { only, startCluster } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

// Whatever is waited for beside it is waited for longer than a test may take.
const FLAGS = ["--timeout", "3", "--queue-timeout", "600"];

async function tookTooLong(answer: Response): Promise<void> {
  const body: unknown = await answer.json();
  expect([answer.status, body]).toMatchObject([504, { error: { code: "upstream_timeout" } }]);
}

test.concurrent.each(["prefills", "decodes"] as const)(
  "a request that was lost with the only one of the %s waits for it no longer than that",
  async (role) => {
    await using cluster = await startCluster({
      engine: { timeScale: 1 },
      flags: [...FLAGS, "--health-interval", "0.1"],
    });
    const engine = only(cluster[role]);
    engine.setPace(0);
    const answer = cluster.chat({ max_tokens: 1_000 });
    await until("it runs there", () => engine.state().openRequests === 1);
    await engine.stop(true);
    await tookTooLong(await answer);
    await until("nothing is in flight", async () =>
      Object.values(await cluster.proxy.status()).every(({ unfinished }) => unfinished === 0),
    );
  },
);

test.concurrent.each(["/distserve/p2p_initialize", "/distserve/p2p_connect"])(
  "a request waits no longer than that for a pair whose engines do not answer %s",
  async (path) => {
    await using cluster = await startCluster({ flags: [...FLAGS, "--no-warmup"] });
    only(cluster.prefills).setFaults([{ path, fault: { kind: "hang", at: "before-headers" } }]);
    await tookTooLong(await cluster.chat());
  },
);
