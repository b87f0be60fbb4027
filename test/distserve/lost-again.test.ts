/** Requests that are lost on the only engine of a role while that is out, or that are out with it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { RunningEngine } from "../../src/sim/server/engine-options.ts";
import { times } from "../support/ask.ts";
import { until } from "../support/until.ts";
import { type Cluster, count, only, startCluster, startRole, untilDecoded } from "./cluster.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
/** It listens, and is in no health: what it is paired with stays so. */
const SICK = { path: "/health", fault: { kind: "answer", status: 500 } } as const;
const RESETS = { path: CHAT, fault: { kind: "reset" } } as const;
const FLAGS = ["--health-interval", "0.1"];
const REQUESTS = 200;
const AT_ONCE = 20;

function of(cluster: Cluster, role: "prefills" | "decodes"): RunningEngine {
  return only(cluster[role]);
}

async function untilOut({ proxy }: Cluster, { url }: RunningEngine): Promise<void> {
  await until("it is out", async () => (await proxy.status())[url]?.state === "unhealthy");
}

describe.concurrent.each(["prefills", "decodes"] as const)("the only one of the %s", (role) => {
  test("that is out and resets a request which was tried there all the same is waited for", async () => {
    await using cluster = await startCluster({ flags: FLAGS });
    const engine = of(cluster, role);
    engine.setFaults([SICK]);
    await untilOut(cluster, engine);
    engine.setFaults([SICK, RESETS]);
    const answer = cluster.chat();
    await until("it was tried", () => count(cluster, role, CHAT) > 0);
    engine.setFaults([]);
    expect((await answer).status).toBe(200);
    expect(count(cluster, role, CHAT)).toBe(2);
    await cluster.quiet();
  });

  test("that resets a request and fails its probes gets it again once it is well, and not before", async () => {
    await using cluster = await startCluster({ flags: FLAGS });
    const engine = of(cluster, role);
    engine.setFaults([SICK, RESETS]);
    const answer = cluster.chat();
    await until("it was tried", () => count(cluster, role, CHAT) > 0);
    await untilOut(cluster, engine);
    // Time enough for another try: nobody but probes asks it.
    const probed = () => count(cluster, role, "/health");
    const before = probed();
    await until("it is probed on", () => probed() > before + 3);
    expect(count(cluster, role, CHAT)).toBe(1);
    engine.setFaults([]);
    expect((await answer).status).toBe(200);
    expect(count(cluster, role, CHAT)).toBe(2);
    await cluster.quiet();
  });

  test("that was removed and is gone is not waited for", async () => {
    await using cluster = await startCluster({
      engine: { timeScale: 1 },
      flags: ["--queue-timeout", "600"],
    });
    const engine = of(cluster, role);
    engine.setPace(0);
    const answer = cluster.chat({ max_tokens: 1_000 });
    await until("it runs there", () => engine.state().openRequests === 1);
    const body = JSON.stringify({ url: engine.url });
    const headers = { "content-type": "application/json" };
    await fetch(`${cluster.proxy.url}/nodes/remove`, { method: "POST", headers, body });
    await engine.stop(true);
    expect((await answer).status).toBe(502);
  });

  test.each([
    ["is in good health", [RESETS]],
    ["fails its probes", [SICK, RESETS]],
  ] as const)("that resets all it gets and %s gets few requests twice", async (_, faults) => {
    await using cluster = await startCluster({ flags: [...FLAGS, "--queue-timeout", "0.25"] });
    const engine = of(cluster, role);
    engine.setFaults(faults);
    const startedMs = performance.now();
    let left = REQUESTS;
    const client = async () => {
      while (left > 0) {
        left -= 1;
        const answer = await cluster.chat();
        expect(answer.status).toBe(502);
        await answer.bytes();
      }
    };
    await Promise.all(times(AT_ONCE, null).map(client));
    const seconds = (performance.now() - startedMs) / 1_000;
    expect(count(cluster, role, CHAT)).toBeLessThanOrEqual(1.2 * REQUESTS + 3 * (seconds + 1));
    engine.setFaults([]);
    await cluster.quiet();
  });
});

/** Takes the only engines of `roles` out, one after the other; then all come back as other processes. */
async function replace(cluster: Cluster, roles: readonly ("prefills" | "decodes")[]) {
  for (const role of roles) {
    await of(cluster, role).stop(true);
    await untilGone(cluster, of(cluster, role));
  }
  for (const role of roles) {
    const again = { port: of(cluster, role).port, timeScale: 1 };
    const is = role === "prefills" ? "Prefill" : "Decode";
    cluster[role][0] = await startRole(is, cluster.proxy, again);
  }
}

async function untilGone({ proxy }: Cluster, { url }: RunningEngine): Promise<void> {
  await until("it is out", async () => (await proxy.status())[url]?.state !== "healthy");
}

const BOTH = ["prefills", "decodes"] as const;

/** Sends requests that are decoded until their engines are gone. */
async function askInVain(cluster: Cluster, requests: number): Promise<Promise<Response>[]> {
  of(cluster, "decodes").setPace(0);
  const answers = times(requests, null).map(() => cluster.chat());
  await untilDecoded(cluster, requests);
  return answers;
}

describe.concurrent("requests that lose both of their engines, one after the other,", () => {
  test("wait for both, however many they are", async () => {
    await using cluster = await startCluster({ engine: { timeScale: 1 } });
    // More than the budget of retries has room for.
    const answers = await askInVain(cluster, 60);
    await replace(cluster, BOTH);
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    await cluster.quiet();
  });

  test("are not sent a third time", async () => {
    await using cluster = await startCluster({ flags: FLAGS, engine: { timeScale: 1 } });
    const [answer] = await askInVain(cluster, 1);
    const first = of(cluster, "decodes");
    await first.stop(true);
    await untilGone(cluster, first);
    // Found by probes: one that registers might have answered before it stands still.
    const second = await startRole("Decode", null, { port: first.port, timeScale: 1 });
    second.setPace(0);
    cluster.decodes[0] = second;
    await untilDecoded(cluster, 1);
    await replace(cluster, BOTH);
    expect((await answer)?.status).toBe(502);
    expect(count(cluster, "decodes", CHAT)).toBe(0);
    await cluster.quiet();
  });
});

test.concurrent("one that has turned a request down for a moment is asked again when the other has lost it", async () => {
  const flags = ["--decode-strategy", "round_robin", "--queue-timeout", "600"];
  await using cluster = await startCluster({ decodes: 2, flags });
  expect((await cluster.chat()).status).toBe(200);
  const [first, second] = cluster.decodes;
  if (first === undefined || second === undefined) throw new Error("there are two");
  const hadOne = (first.state().requestsByPath[CHAT] ?? 0) > 0;
  const [busy, dying] = hadOne ? [second, first] : [first, second];
  busy.setFaults([{ path: CHAT, fault: { kind: "answer", status: 503 }, count: 1 }]);
  dying.setFaults([SICK, RESETS]);
  const before = count(cluster, "decodes", CHAT);
  expect((await cluster.chat()).status).toBe(200);
  expect(count(cluster, "decodes", CHAT)).toBe(before + 3);
});

test.concurrent.each(["prefills", "decodes"] as const)(
  "what is lost on one of two %s, which were both out when it came, goes on at the other that is back",
  async (role) => {
    await using cluster = await startCluster({ prefills: 2, decodes: 2, flags: FLAGS });
    const engines = cluster[role];
    for (const engine of engines) {
      engine.setPace(0);
      engine.setFaults([SICK]);
      await untilOut(cluster, engine);
    }
    const answer = cluster.chat();
    const has = (engine: RunningEngine) => engine.state().openRequests === 1;
    const holder = await until("one has it", () => engines.find(has));
    for (const other of engines.filter((engine) => engine !== holder)) {
      other.setPace(1);
      other.setFaults([]);
      await until("it is back", async () => {
        return (await cluster.proxy.status())[other.url]?.state === "healthy";
      });
    }
    await holder.stop(true);
    expect((await answer).status).toBe(200);
  },
);
