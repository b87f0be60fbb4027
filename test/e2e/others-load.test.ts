/** With several workers, what a node shows of requests that any of them sent is nobody else's. */
import { expect, test } from "bun:test";
import { ask } from "../support/ask.ts";
import { good, startOddEngine } from "../support/odd-engine.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

/** Gauges that are a while behind, as engines' are: what they show has ended, or is not ours. */
const BEHIND = "vllm:num_requests_running 60\nvllm:num_requests_waiting 0\n";

test("a node whose short requests have just ended is not said to run others' requests", async () => {
  const answer = async () => {
    await Bun.sleep(50);
    return good();
  };
  const ours = startOddEngine({ metrics: () => BEHIND, answer });
  const others = startOddEngine({ metrics: () => BEHIND, model: "other" });
  const flags = ["--node", ours.url, "--node", others.url, "--strategy", "min_cache_usage"];
  await using proxy = await startProxy(["--workers", "2", ...flags]);
  await untilHealthy(proxy, 2);
  const said = ({ url }: typeof ours) =>
    proxy.log().includes(`"msg":"node runs more than it was sent","node":"${url}"`);
  // Both are looked at in the same moment.
  await until("it is said of the one that gets nothing from here", async () => {
    const answer = await ask(proxy, {}, { headers: { connection: "close" }, keepalive: false });
    expect(answer.status).toBe(200);
    return said(others);
  });
  expect(said(ours)).toBe(false);
  await ours.stop();
  await others.stop();
}, 60_000);
