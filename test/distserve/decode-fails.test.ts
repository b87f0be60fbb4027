/** What a request does when its decode engine fails it, and what becomes of its session. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { FaultRule } from "../../src/sim/server/faults.ts";
import { until } from "../support/until.ts";
import { type Cluster, count, only, startCluster } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
const FREE = "/distserve/free_cache";
const ABORTED = JSON.stringify({ choices: [{ index: 0, finish_reason: "abort" }] });
const HANG = { kind: "hang", at: "before-headers" } as const;

describe("a decode engine that", () => {
  const cases: readonly (readonly [string, FaultRule["fault"], number, readonly string[]])[] = [
    ["refuses", { kind: "answer", status: 400, body: "no" }, 400, []],
    ["is full", { kind: "answer", status: 503 }, 503, []],
    ["fails", { kind: "answer", status: 500, body: "oops" }, 500, []],
    ["is reset", { kind: "reset" }, 502, []],
    ["times out", HANG, 504, ["--first-byte-timeout", "0.8"]],
  ];

  test.each(cases)(
    "%s: its answer passes, and the session is freed",
    async (_, fault, status, flags) => {
      await using cluster = await startCluster({ flags });
      only(cluster.decodes).setFaults([{ path: CHAT, fault }]);
      const answer = await cluster.chat();
      expect(answer.status).toBe(status);
      if ("body" in fault) expect(await answer.text()).toBe(fault.body ?? "");
      await cluster.quiet();
      expect(count(cluster, "prefills", FREE)).toBe(count(cluster, "prefills", CHAT));
    },
  );

  test("loses a connection that it had answered on: its blocks are not asked for once more", async () => {
    await using cluster = await startCluster();
    expect((await cluster.chat()).status).toBe(200);
    only(cluster.decodes).setFaults([{ path: CHAT, fault: { kind: "reset" } }]);
    expect((await cluster.chat()).status).toBe(502);
    await cluster.quiet();
    expect(count(cluster, "decodes", CHAT)).toBe(count(cluster, "prefills", CHAT));
  });

  test("dies in mid-stream: the stream is visibly broken, and the session is freed", async () => {
    await using cluster = await startCluster();
    const answer = await cluster.chat({ stream: true, max_tokens: 5_000, ignore_eos: true });
    // Its client has seen a piece by now: what comes together with the death may never be read.
    expect(answer.status).toBe(200);
    await only(cluster.decodes).stop(true);
    await expect(answer.text()).rejects.toThrow();
    await cluster.quiet();
    expect(count(cluster, "prefills", FREE)).toBe(1);
  });

  test("is killed before its first byte: the request starts over with a new prefill", async () => {
    await using cluster = await startCluster({ decodes: 2 });
    for (const engine of cluster.decodes) engine.setFaults([{ path: CHAT, fault: HANG }]);
    const answering = cluster.chat();
    const hit = await until("one has it", () =>
      cluster.decodes.find((engine) => engine.state().openRequests === 1),
    );
    for (const engine of cluster.decodes) if (engine !== hit) engine.setFaults([]);
    await hit.stop(true);
    expect((await answering).status).toBe(200);
    await until("nothing is kept", () => only(cluster.prefills).state().preservedSessions === 0);
    expect(count(cluster, "prefills", CHAT)).toBe(2);
    expect(count(cluster, "prefills", FREE)).toBe(1);
  });
});

describe("blocks are offered to a second decode node", () => {
  const provably: readonly (readonly [string, FaultRule["fault"]])[] = [
    ["a 4xx", { kind: "answer", status: 400 }],
    ["a 429", { kind: "answer", status: 429 }],
    ["a 503", { kind: "answer", status: 503 }],
  ];
  const maybe: readonly (readonly [string, FaultRule["fault"]])[] = [
    ["a 500", { kind: "answer", status: 500 }],
    ["a 502", { kind: "answer", status: 502 }],
    ["a lost connection", { kind: "reset" }],
    ["a 200 that was given up", { kind: "answer", status: 200, body: ABORTED }],
  ];

  /** Two decode engines of which whichever is asked first fails so. */
  async function twoDecodes(fault: FaultRule["fault"]): Promise<Cluster> {
    const cluster = await startCluster({ decodes: 2 });
    const [first] = cluster.decodes;
    first?.setFaults([{ path: CHAT, fault }]);
    return cluster;
  }

  /** Sends requests until the faulty engine has been asked. */
  async function hitFaulty(cluster: Cluster): Promise<{ prefills: number; sent: number }> {
    for (let sent = 1; ; sent += 1) {
      expect((await cluster.chat()).status).toBe(200);
      const faulty = only(cluster.decodes).state().requestsByPath[CHAT] ?? 0;
      if (faulty > 0) return { prefills: count(cluster, "prefills", CHAT), sent };
    }
  }

  test.each(provably)("after %s: the first never took them on", async (_, fault) => {
    await using cluster = await twoDecodes(fault);
    const { prefills, sent } = await hitFaulty(cluster);
    expect(prefills).toBe(sent);
    await cluster.quiet();
    expect(count(cluster, "prefills", FREE)).toBe(0);
  });

  test("after a refused connection", async () => {
    await using cluster = await startCluster({ decodes: 2 });
    const [first] = cluster.decodes;
    await first?.stop(true);
    expect((await cluster.chat()).status).toBe(200);
    expect((await cluster.chat()).status).toBe(200);
    expect([count(cluster, "prefills", CHAT), count(cluster, "prefills", FREE)]).toEqual([2, 0]);
  });

  test.each(maybe)("not after %s: freed, and prefilled anew", async (_, fault) => {
    await using cluster = await twoDecodes(fault);
    const { prefills, sent } = await hitFaulty(cluster);
    expect(prefills).toBe(sent + 1);
    await cluster.quiet();
    expect(count(cluster, "prefills", FREE)).toBe(1);
  });

  test("which is connected with the prefill node first", async () => {
    await using cluster = await startCluster({ decodes: 2, flags: ["--no-warmup"] });
    const fault = { kind: "answer", status: 503 } as const;
    // Whichever is first refuses once; the other has to be connected before it gets the blocks.
    for (const decode of cluster.decodes) decode.setFaults([{ path: CHAT, fault, count: 1 }]);
    const [first, second] = [await cluster.chat(), await cluster.chat()];
    expect([first.status, second.status]).toContain(503);
    expect(only(cluster.prefills).state().connectedPeers).toHaveLength(2);
    await cluster.quiet();
  });
});
