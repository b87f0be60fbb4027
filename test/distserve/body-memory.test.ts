/** What a body becomes for two engines counts in `--max-body-memory`, too. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until.ts";
import { count, only, startCluster } from "./cluster.ts";

setDefaultTimeout(60_000);
const CHAT = "/v1/chat/completions";

test("copies of a body take memory, and give it back", async () => {
  const flags = ["--max-body", "1MiB", "--max-body-memory", "3MiB"];
  await using cluster = await startCluster({ flags });
  const hang = { kind: "hang", at: "before-headers" } as const;
  only(cluster.prefills).setFaults([{ path: CHAT, fault: hang, count: 1 }]);
  const body = { messages: [{ role: "user", content: "x".repeat(700_000) }], max_tokens: 1 };
  const leaving = new AbortController();
  const first = cluster.chat(body, { signal: leaving.signal }).catch(() => "left");
  await until("the first is at its prefill", () => count(cluster, "prefills", CHAT) === 1);
  const second = await cluster.chat(body);
  expect([second.status, await second.text()]).toEqual([
    503,
    expect.stringContaining("--max-body-memory"),
  ]);
  leaving.abort();
  expect(await first).toBe("left");
});
