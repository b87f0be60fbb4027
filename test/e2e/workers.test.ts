/** Several processes at one port: what they count together, and what becomes of requests when processes end. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { Value } from "@sinclair/typebox/value";
import { BELL, NEVER } from "../../src/cluster/bells.ts";
import { openMemory } from "../../src/cluster/memory.ts";
import { rowsFor } from "../../src/cluster/rows.ts";
import { MOST_CLIENTS } from "../../src/cluster/table.ts";
import { OpenRequests } from "../../src/http/schemas.ts";
import { ask, times } from "../support/ask.ts";
import { type GateEngine, startGateEngine } from "../support/gate-engine.ts";
import { kill } from "../support/kill.ts";
import { type ProxyProcess, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { untilHealthy } from "../support/until-healthy.ts";

setDefaultTimeout(60_000);

/** A connection of its own, so that any worker may get it. */
const ALONE = { headers: { connection: "close" }, keepalive: false };
const LIMITS = ["--max-concurrency", "6", "--max-concurrency-per-node", "4"];
const ADMIN = "admin";
const folder = mkdtempSync(join(tmpdir(), "lmproxy-workers-"));
const keys = join(folder, "keys");
const KEYS = ["--api-keys", `@${keys}`, "--max-concurrency-per-client", "3"];

let engine: GateEngine;
let proxy: ProxyProcess;
beforeAll(async () => {
  engine = startGateEngine();
  writeFileSync(keys, "a:key-a\nb:key-b\n");
  const flags = ["--workers", "2", "--node", engine.url, "--admin-key", ADMIN];
  proxy = await startProxy([...flags, ...LIMITS, ...KEYS]);
  await untilHealthy(proxy, 1, ADMIN);
});
afterAll(async () => {
  await proxy.end("SIGKILL");
  await engine.stop();
  rmSync(folder, { recursive: true });
});

function as(client: "a" | "b", name = "") {
  const headers = { ...ALONE.headers, authorization: `Bearer key-${client}` };
  return ask(proxy, { name }, { ...ALONE, headers });
}

async function admin(path: string, method = "GET", body?: object): Promise<Response> {
  return await fetch(proxy.url + path, {
    ...ALONE,
    method,
    headers: {
      ...ALONE.headers,
      authorization: `Bearer ${ADMIN}`,
      "content-type": "application/json",
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function inFlight(): Promise<number> {
  const nodes = Object.values(await proxy.status(ADMIN));
  return nodes.reduce((sum, node) => sum + node.unfinished, 0);
}

/** The workers that serve, by the log. */
function workers(one = proxy): number[] {
  return [...one.log().matchAll(/worker serves","pid":(\d+)/g)].map(([, pid]) => Number(pid));
}

test("limits of a client and of a node hold over all workers, and every place is found again", async () => {
  const mine = times(9, "a" as const).map((client) => as(client));
  await until("the client has its places", () => engine.waiting === 3);
  const theirs = times(9, "b" as const).map((client) => as(client));
  await until("the node has its requests", () => engine.waiting === 4);
  expect(await inFlight()).toBe(4);
  await until("all have had their turn", () => {
    expect(engine.waiting).toBeLessThanOrEqual(4);
    engine.release(1);
    return engine.arrived.length === 18 && engine.waiting === 0;
  });
  const statuses = (await Promise.all([...mine, ...theirs])).map(({ status }) => status);
  expect(statuses).toEqual(times(18, 200));
  await until("none is counted", async () => (await inFlight()) === 0);
});

test("whoever has waited longest has the next place, in whichever worker it waits", async () => {
  const before = engine.arrived.length;
  const names = Array.from({ length: 16 }, (_, at) => `${at}`);
  const sent: Promise<Response>[] = [];
  for (const [at, name] of names.entries()) {
    sent.push(as(at % 2 === 0 ? "a" : "b", name));
    await until("the proxy has it", async () => {
      const shown: unknown = await (await admin("/debug/requests")).json();
      Value.Assert(OpenRequests, shown);
      return shown.filter(({ phase }) => phase !== "reading").length === at + 1;
    });
    // Who came first is known to the ms.
    const seenAt = Date.now();
    await until("a ms has gone by", () => Date.now() > seenAt);
  }
  for (let arrived = 4; arrived < names.length; arrived += 1) {
    engine.release(1);
    await until("the next one has come", () => engine.arrived.length - before > arrived);
  }
  engine.release(4);
  expect((await Promise.all(sent)).map(({ status }) => status)).toEqual(times(16, 200));
  expect(engine.arrived.slice(before)).toEqual(names);
});

test("a worker is rung for what others free as long as requests wait in it, and has asked for the signal", async () => {
  const pids = workers();
  const path = /\S+\/lmproxy-\w+\/table$/m.exec(readFileSync(`/proc/${pids[0]}/maps`, "utf8"))?.[0];
  const memory = openMemory(path ?? "", { rows: rowsFor(2), clients: MOST_CLIENTS });
  const bells = memory.bells();
  const rows = [...proxy.log().matchAll(/worker serves",.*"row":(\d+)/g)].map(([, row]) =>
    Number(row),
  );
  const wishes = () => rows.map((row) => bells.wishOf(row) !== NEVER);
  expect(wishes()).toEqual([false, false]);
  const open: Promise<Response>[] = [];
  await until("requests wait in both", () => {
    if (open.length < 40) open.push(as(open.length % 2 === 0 ? "a" : "b"));
    return wishes().every((isWanted) => isWanted);
  });
  for (const pid of pids) {
    const caught = /^SigCgt:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    const bit = 1n << BigInt(constants.signals[BELL] - 1);
    expect(BigInt(`0x${caught}`) & bit).toBe(bit);
  }
  const statuses: number[] = [];
  for (const answer of open) void answer.then(({ status }) => statuses.push(status));
  await until("all have had their turn", () => {
    engine.release(4);
    return statuses.length === open.length;
  });
  expect(statuses).toEqual(times(open.length, 200));
  expect(wishes()).toEqual([false, false]);
});

test("any worker tells of the requests of all, explains and cancels them, and sums what was counted", async () => {
  const before = await counted();
  const open = ["one", "two", "three"].map((id) =>
    ask(
      proxy,
      {},
      {
        ...ALONE,
        headers: { ...ALONE.headers, authorization: "Bearer key-a", "x-request-id": id },
      },
    ),
  );
  await until("all are at the engine", () => engine.waiting === 3);
  for (let look = 0; look < 6; look += 1) {
    const shown: unknown = await (await admin("/debug/requests")).json();
    Value.Assert(OpenRequests, shown);
    expect(shown.map(({ id }) => id).sort()).toEqual(["one", "three", "two"]);
    expect(await (await admin("/debug/requests/two")).json()).toMatchObject([{ id: "two" }]);
  }
  expect(await (await admin("/debug/requests/two", "DELETE")).json()).toEqual({ cancelled: 1 });
  await until("the engine has let go of it", () => engine.waiting === 2);
  engine.release(2);
  const statuses = (await Promise.all(open)).map(({ status }) => status);
  expect(statuses).toEqual([200, 503, 200]);
  for (let look = 0; look < 4; look += 1) expect((await counted()) - before).toBe(3);
});

/** Requests that have ended, as `/metrics` counts them. */
async function counted(): Promise<number> {
  const page = await (await admin("/metrics")).text();
  const counts = [...page.matchAll(/^lmproxy_requests_total\{.*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

test("what an administrator changes is true for all workers when the answer is there", async () => {
  const models = async () =>
    await Promise.all(
      times(12, "a").map(async (key) => {
        const answer = await fetch(`${proxy.url}/v1/models`, withKey(`key-${key}`));
        return /"id":"([^"]+)"/.exec(await answer.text())?.[1];
      }),
    );
  for (let round = 0; round < 3; round += 1) {
    await admin("/nodes/remove", "POST", { url: engine.url });
    expect(await models()).toEqual(times(12, undefined));
    await admin("/nodes/add", "POST", { url: engine.url, status: { models: ["tiny"] } });
    expect(await models()).toEqual(times(12, "tiny"));
  }
  await untilHealthy(proxy, 1, ADMIN);
});

test("the log says that a node is drained when its last request has ended, in whichever worker", async () => {
  const open = times(3, "b" as const).map((client) => as(client));
  await until("they are at the engine", () => engine.waiting === 3);
  await admin("/nodes/drain", "POST", { url: engine.url });
  engine.release(3);
  await Promise.all(open);
  await until("it is said", () => proxy.log().includes("node is drained: nothing is in flight"));
  await admin("/nodes/undrain", "POST", { url: engine.url });
  await untilHealthy(proxy, 1, ADMIN);
});

test("a worker that is killed costs its own requests; its places are free, and another takes its place", async () => {
  const [victim] = workers();
  const open = times(8, "a" as const).map((client, at) => as(at % 2 === 0 ? client : "b"));
  const ends = open.map((answer) =>
    answer.then(
      ({ status }) => status,
      () => "lost",
    ),
  );
  await until("they are at the engine", () => engine.waiting === 4);
  kill(victim, "SIGKILL");
  await until("another serves", () => workers().length === 3);
  const release = setInterval(() => engine.release(4), 20);
  const results = await Promise.all(ends);
  clearInterval(release);
  expect(results.every((result) => result === 200 || result === "lost")).toBe(true);
  await until("none is counted", async () => (await inFlight()) === 0);
  const again = times(6, "b" as const).map((client) => as(client));
  await until("as many run as before", () => engine.waiting === 3);
  engine.release(3);
  await until("as many run again", () => engine.waiting === 3);
  engine.release(3);
  expect((await Promise.all(again)).map(({ status }) => status)).toEqual(times(6, 200));
});

test("keys that are read again count in all workers, also in those that come later", async () => {
  writeFileSync(keys, "b:key-b\n");
  expect(await (await admin("/reload", "POST")).json()).toMatchObject({ changed: ["--api-keys"] });
  const statuses = async () => {
    const asked = times(8, null).map(() => fetch(`${proxy.url}/v1/models`, withKey("key-a")));
    return (await Promise.all(asked)).map(({ status }) => status);
  };
  expect(await statuses()).toEqual(times(8, 401));
  const before = workers().length;
  kill(workers().at(-1), "SIGKILL");
  await until("another serves", () => workers().length > before);
  expect(await statuses()).toEqual(times(8, 401));
  expect((await fetch(`${proxy.url}/v1/models`, withKey("key-b"))).status).toBe(200);
});

function withKey(key: string) {
  return { ...ALONE, headers: { ...ALONE.headers, authorization: `Bearer ${key}` } };
}

test("a body must fit into each worker's part of the memory", async () => {
  const flags = ["--workers", "3", "--max-body", "40MiB", "--max-body-memory", "100MiB"];
  await expect(startProxy(flags)).rejects.toThrow("--max-body-memory is divided among 3 workers");
});

test("the log says what happens to nodes that were named at the start, once", async () => {
  const lost = startGateEngine();
  const flags = ["--workers", "2", "--node", lost.url, "--health-interval", "0.2"];
  await using two = await startProxy(flags);
  await untilHealthy(two);
  const tell = (path: string) =>
    fetch(two.url + path, { method: "POST", body: JSON.stringify({ url: lost.url }) });
  const asked = ask(two, {}, ALONE);
  await until("it runs", () => lost.waiting === 1);
  await tell("/nodes/drain");
  lost.release(1);
  expect((await asked).status).toBe(200);
  await until("it is drained", () => two.log().includes("node is drained"));
  await tell("/nodes/undrain");
  await untilHealthy(two);
  await lost.stop();
  const said = (event: string) =>
    two.log().split(`"msg":"${event}","node":"${lost.url}"`).length - 1;
  await until("it is out", () => said("node is out") > 0);
  await until("that was the last one", () => two.log().includes("no healthy node is left"));
  expect(["node added", "node is ready", "node is out"].map(said)).toEqual([1, 1, 1]);
});
