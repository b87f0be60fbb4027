/** Engines that are replaced under load: requests wait while their pairs are connected anew. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { chat, only, startCluster, startRole, untilDecoded } from "./cluster.ts";
import { startRecordingEngine } from "./recording-engine.ts";

// Each test starts processes, on machines that may be busy.
setDefaultTimeout(60_000);

const CHAT = "/v1/chat/completions";
const CALLS = {
  "/distserve/p2p_initialize":
    '{"status": 1, "engine_endpoint_info": {"zmq_address": "tcp://a:1"}, "kvtransfer_endpoint_info": []}',
  "/distserve/free_cache": '{"status": "SUCCESS"}',
};

/** `clients` that ask one after the other until `isOver`, and the bodies of what they get that is no 200. */
function load(url: string, clients: number, isOver: (sent: number) => boolean) {
  const bad: string[] = [];
  const counts = { sent: 0, answered: 0 };
  const client = async () => {
    while (!isOver(counts.sent)) {
      counts.sent += 1;
      const answer = await chat(url);
      const text = await answer.text();
      counts.answered += 1;
      if (answer.status !== 200) bad.push(`${answer.status} ${text}`);
    }
  };
  const ended = Promise.all(Array.from({ length: clients }, client));
  return { counts, bad: ended.then(() => bad) };
}

test.concurrent.each([1, 2])(
  "session numbers of %d prefill engines that come again and again cost no request",
  async (prefillCount) => {
    // As of processes replaced without a word: they count from 0 again.
    const prefilled = Array.from({ length: 400 }, (_, i) => {
      return `{"id": "${i % 60}", "cache_block_ids": [7], "remote_token_ids": [5]}`;
    });
    const prefills = Array.from({ length: prefillCount }, () =>
      startRecordingEngine('{"tp_size": 1}', { ...CALLS, [CHAT]: prefilled }),
    );
    await using decode = startRecordingEngine('{"tp_size": 1}', { ...CALLS, [CHAT]: "{}" });
    await using proxy = await startProxy([
      ...["--serving-strategy", "DistServe", "--decode", decode.url],
      ...prefills.flatMap(({ url }) => ["--prefill", url]),
    ]);
    await until("all are connected", async () =>
      Object.values(await proxy.status()).every(({ pairs, state }) => state === "healthy" && pairs),
    );
    expect(await load(proxy.url, 8, (sent) => sent >= 300).bad).toEqual([]);
    await until("that is said", () => proxy.log().includes("a session number came twice"));
    await until("nothing is in flight", async () =>
      Object.values(await proxy.status()).every(({ unfinished }) => unfinished === 0),
    );
    await Promise.all(prefills.map((prefill) => prefill[Symbol.asyncDispose]()));
  },
);

test.concurrent.each([
  ["Prefill", 6],
  ["Decode", 6],
  // More than the budget of retries has room for.
  ["Prefill", 60],
  ["Decode", 60],
] as const)(
  "the only %s engine restarted under the load of %d clients costs nobody anything: requests wait until it is back",
  async (role, clients) => {
    await using cluster = await startCluster({ engine: { timeScale: 1 } });
    const list = role === "Prefill" ? cluster.prefills : cluster.decodes;
    let isOver = false;
    const { counts, bad } = load(cluster.proxy.url, clients, () => isOver);
    await until("there is load", () => counts.answered > 20);
    const { port, url } = only(list);
    await only(list).stop(true);
    await until("it is out", async () => (await cluster.proxy.status())[url]?.state !== "healthy");
    list[0] = await startRole(role, cluster.proxy, { port, timeScale: 1 });
    const since = counts.answered;
    await until("they are answered again", () => counts.answered > since + 20);
    isOver = true;
    expect(await bad).toEqual([]);
    await cluster.quiet();
  },
);

test.concurrent.each(["Prefill", "Decode"] as const)(
  "a %s engine restarted under load beside another costs nobody anything",
  async (role) => {
    const engines = role === "Prefill" ? { prefills: 2 } : { decodes: 2 };
    await using cluster = await startCluster({ ...engines, engine: { timeScale: 1 } });
    const list = role === "Prefill" ? cluster.prefills : cluster.decodes;
    let isOver = false;
    const { counts, bad } = load(cluster.proxy.url, 6, () => isOver);
    await until("there is load", () => counts.answered > 20);
    const { port, url } = only(list);
    await only(list).stop(true);
    list[0] = await startRole(role, cluster.proxy, { port, timeScale: 1 });
    await until("it is connected again", async () => {
      const status = (await cluster.proxy.status())[url];
      return status?.state === "healthy" && status.pairs > 0;
    });
    isOver = true;
    expect(await bad).toEqual([]);
    await cluster.quiet();
  },
);

test.concurrent.each(["Prefill", "Decode"] as const)(
  "a %s engine restarted so fast that nobody noticed, the only one, costs nobody anything",
  async (role) => {
    await using cluster = await startCluster({ flags: ["--health-interval", "600"] });
    const list = role === "Prefill" ? cluster.prefills : cluster.decodes;
    expect((await cluster.chat()).status).toBe(200);
    const { port } = only(list);
    await only(list).stop(true);
    list[0] = await startRole(role, null, { port });
    expect((await cluster.chat()).status).toBe(200);
    await cluster.quiet();
  },
);

test.concurrent("what the only decode engine refuses is begun once more, over a pair made anew, and is then its answer", async () => {
  await using cluster = await startCluster({ flags: ["--health-interval", "600"] });
  const [prefill, decode] = [only(cluster.prefills), only(cluster.decodes)];
  decode.setFaults([{ path: CHAT, fault: { kind: "answer", status: 400, body: "no" } }]);
  const answer = await cluster.chat();
  expect([answer.status, await answer.text()]).toEqual([400, "no"]);
  const asked = (engine: typeof decode, path: string) => engine.state().requestsByPath[path];
  expect([asked(prefill, CHAT), asked(decode, CHAT)]).toEqual([2, 2]);
  expect(asked(decode, "/distserve/p2p_connect")).toBe(2);
  await cluster.quiet();
});

test.concurrent.each([
  ["FAIL", { kind: "answer", status: 200, body: '{"status": 2}' }],
  ["an error", { kind: "answer", status: 500 }],
] as const)(
  "what the only decode engine refuses is its answer where the pair cannot be made anew for %s: nobody waits for that",
  async (_what, fault) => {
    const flags = ["--health-interval", "600", "--queue-timeout", "600"];
    await using cluster = await startCluster({ flags });
    const refusal = { path: CHAT, fault: { kind: "answer", status: 400, body: "no" } } as const;
    only(cluster.decodes).setFaults([refusal, { path: "/distserve/p2p_connect", fault }]);
    const answer = await cluster.chat();
    expect([answer.status, await answer.text()]).toEqual([400, "no"]);
    await cluster.quiet();
  },
);

test.concurrent("a decode engine restarted so fast that nobody noticed, with one place, costs nobody anything", async () => {
  const flags = ["--health-interval", "600", "--max-concurrency-per-node", "1"];
  await using cluster = await startCluster({ flags });
  expect((await cluster.chat()).status).toBe(200);
  const { port } = only(cluster.decodes);
  await only(cluster.decodes).stop(true);
  cluster.decodes[0] = await startRole("Decode", null, { port });
  // The second one gets the place that the first one gives back.
  const asked = await Promise.all([cluster.chat(), cluster.chat()]);
  expect(asked.map(({ status }) => status)).toEqual([200, 200]);
  await cluster.quiet();
});

test.concurrent("a Prefill engine restarted before it had been asked for anything, that two decode engines do not know any more, costs nobody anything", async () => {
  await using cluster = await startCluster({ decodes: 2, flags: ["--health-interval", "600"] });
  const { port } = only(cluster.prefills);
  await only(cluster.prefills).stop(true);
  cluster.prefills[0] = await startRole("Prefill", null, { port });
  expect((await cluster.chat()).status).toBe(200);
  await cluster.quiet();
});

test.concurrent("what a decode engine refuses that does not know the other any more waits until nobody uses their pair", async () => {
  await using cluster = await startCluster({ flags: ["--health-interval", "600"] });
  const [prefill, decode] = [only(cluster.prefills), only(cluster.decodes)];
  const hang = { kind: "hang", at: "before-headers" } as const;
  decode.setFaults([{ path: CHAT, fault: hang, count: 1 }]);
  const asked = () => decode.state().requestsByPath[CHAT] ?? 0;
  const leaving = new AbortController();
  const first = cluster.chat({}, { signal: leaving.signal }).catch(() => "left");
  await until("it is being decoded", () => asked() === 1);
  // As another proxy has it done that takes one of them out.
  await fetch(`${decode.url}/distserve/p2p_drop_connect`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ engine_id: decode.url, remote_engine_id: prefill.url }),
  });
  const answer = cluster.chat();
  await until("it was refused", () => asked() >= 2);
  leaving.abort();
  expect(await first).toBe("left");
  expect((await answer).status).toBe(200);
  await cluster.quiet();
});

test.concurrent("however often another engine comes back, who waits for the only one of a role is refused when its time is over", async () => {
  const flags = ["--queue-timeout", "5", "--health-interval", "0.1"];
  await using cluster = await startCluster({ prefills: 2, flags, engine: { timeScale: 1 } });
  const { proxy } = cluster;
  const other = only(cluster.prefills).url;
  let isOver = false;
  only(cluster.decodes).setPace(0);
  const answer = cluster.chat().finally(() => {
    isOver = true;
  });
  await untilDecoded(cluster);
  await only(cluster.decodes).stop(true);
  let times = 0;
  for (; !isOver; times += 1) {
    for (const call of ["drain", "undrain"]) {
      const body = JSON.stringify({ url: other });
      const headers = { "content-type": "application/json" };
      await fetch(`${proxy.url}/nodes/${call}`, { method: "POST", headers, body });
    }
    await until(
      "it is back",
      async () => isOver || (await proxy.status())[other]?.state === "healthy",
    );
  }
  expect((await answer).status).toBe(502);
  expect(times).toBeGreaterThan(1);
});

for (const role of ["Prefill", "Decode"] as const) {
  test.concurrent(`the only ${role} engine that loads for longer than a moment after its restart is waited for`, async () => {
    await using cluster = await startCluster();
    const { proxy } = cluster;
    const list = role === "Prefill" ? cluster.prefills : cluster.decodes;
    const { port, url } = only(list);
    await only(list).stop(true);
    list[0] = await startRole(role, proxy, { port });
    only(list).setHealth("initializing");
    await untilStarting(proxy, url);
    const asked = Promise.all([cluster.chat(), cluster.chat({ stream: true })]);
    await longer();
    only(list).setHealth("healthy");
    expect((await asked).map(({ status }) => status)).toEqual([200, 200]);
    await cluster.quiet();
  });

  test.concurrent(`the only ${role} engine that has registered and does not listen yet is waited for, also in the middle of a request`, async () => {
    await using cluster = await startCluster({ engine: { timeScale: 1 } });
    const { proxy } = cluster;
    const list = role === "Prefill" ? cluster.prefills : cluster.decodes;
    const { port, url } = only(list);
    only(cluster.decodes).setPace(0);
    const running = cluster.chat();
    await untilDecoded(cluster);
    only(cluster.decodes).setPace(1);
    await only(list).stop(true);
    await fetch(`${proxy.url}/nodes/add`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url, status: { models: ["m"], role } }),
    });
    await untilStarting(proxy, url);
    const asked = Promise.all([cluster.chat(), cluster.chat({ stream: true })]);
    await longer();
    list[0] = await startRole(role, null, { port });
    expect((await asked).map(({ status }) => status)).toEqual([200, 200]);
    expect((await running).status).toBe(200);
    await cluster.quiet();
  });
}

async function untilStarting(proxy: ProxyProcess, url: string): Promise<void> {
  await until("it is starting", async () => (await proxy.status())[url]?.state === "starting");
}

/** For longer than what is not known to come back is waited for, 2 s. */
function longer(): Promise<void> {
  return Bun.sleep(2_500);
}
