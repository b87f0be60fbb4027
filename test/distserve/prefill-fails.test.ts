/** What a request does when its prefill engine fails it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until.ts";
import { count, messageOf, only, startCluster } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
const FREE = "/distserve/free_cache";

describe.concurrent("a prefill", () => {
  test.each([
    // Another may have been started with more.
    ["400", 400, 2],
    // Another may have the model.
    ["404", 404, 2],
    ["413", 413, 2],
    ["409", 409, 1],
  ])("refused with %s is the client's answer, unchanged", async (_, status, asked) => {
    await using cluster = await startCluster({ prefills: 2 });
    const headers = { "content-type": "text/x-odd", "x-engine": "yes" };
    for (const prefill of cluster.prefills) {
      prefill.setFaults([
        { path: CHAT, fault: { kind: "answer", status, headers, body: "my reason" } },
      ]);
    }
    const answer = await cluster.chat({ stream: true });
    expect([answer.status, answer.headers.get("x-engine"), await answer.text()]).toEqual([
      status,
      "yes",
      "my reason",
    ]);
    expect(count(cluster, "prefills", CHAT)).toBe(asked);
    await cluster.quiet();
  });

  test("refused with 404 goes to another node that has yet to be connected, too", async () => {
    let tried = 0;
    // Which of the two comes first is a matter of chance.
    for (let i = 0; i < 40 && tried === 0; i += 1) {
      const flags = ["--no-warmup", "--strategy", "random"];
      await using cluster = await startCluster({ prefills: 2, flags });
      const first = only(cluster.prefills);
      first.setFaults([{ path: CHAT, fault: { kind: "answer", status: 404 } }]);
      expect((await cluster.chat()).status).toBe(200);
      tried = first.state().requestsByPath[CHAT] ?? 0;
    }
    expect(tried).toBe(1);
  });

  test.each([429, 500, 502, 503, 504])("answered with %d goes to another node", async (status) => {
    await using cluster = await startCluster({ prefills: 2 });
    only(cluster.prefills).setFaults([{ path: CHAT, fault: { kind: "answer", status } }]);
    for (let i = 0; i < 4; i += 1) expect((await cluster.chat()).status).toBe(200);
    await cluster.quiet();
  });

  test("that hangs beyond its time limit still names its session, which is freed", async () => {
    await using cluster = await startCluster({
      prefills: 2,
      flags: ["--first-byte-timeout", "0.4"],
    });
    const slow = { kind: "slow", firstByteMs: 1_200 } as const;
    for (const prefill of cluster.prefills) {
      prefill.setFaults([{ path: CHAT, fault: slow, count: 1 }]);
    }
    expect((await cluster.chat()).status).toBeOneOf([200, 504]);
    await cluster.quiet();
    await until("the late answers were freed", () => count(cluster, "prefills", FREE) >= 1);
    await cluster.quiet();
  });

  test("whose answer lacks its blocks is a 502 that says so, and is freed", async () => {
    await using cluster = await startCluster();
    const body = '{"id":"0","remote_token_ids":[1]}';
    const fault = { kind: "answer", status: 200, body } as const;
    only(cluster.prefills).setFaults([{ path: CHAT, fault }]);
    const answer = await cluster.chat();
    expect([answer.status, await messageOf(answer)]).toEqual([
      502,
      expect.stringContaining("cache_block_ids"),
    ]);
    await until("it was freed", () => count(cluster, "prefills", FREE) === 1);
  });
});
