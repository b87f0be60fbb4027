/** The doctor's checks of what was seen, where there is a lot of it. */
import { expect, test } from "bun:test";
import { findings } from "../../src/commands/doctor/checks.ts";
import type { NodeStatus } from "../../src/commands/node-table.ts";
import { cpuMsOf, cpuMsOfComparing } from "../support/cpu-time.ts";

const MODELS = 8_000;

function seen(
  nodes: Readonly<Record<string, NodeStatus>>,
  flags: Readonly<Record<string, string>> = {},
  outFor: ReadonlyMap<string, string> = new Map(),
) {
  const look = { atS: 0, nodes, endedByNode: new Map<string, number>(), outFor };
  return {
    ...{ url: "http://127.0.0.1:8000", nowMs: 0, certificates: new Map(), aheadMs: new Map() },
    told: {
      flags,
      stateLocked: null,
      stateProblem: null,
      metricsIntervalS: 5,
      openFiles: null,
      mostFiles: null,
      ...{ before: look, after: look },
    },
  };
}

test("nodes with thousands of adapters of their own are not compared name by name", () => {
  const urls = Array.from({ length: 8 }, (_, at) => `http://10.0.0.${at + 1}:1`);
  const nodes = urls.map((url): [string, NodeStatus] => {
    const models = Array.from({ length: MODELS }, (_, at) => `${url}-${at}`);
    return [url, { role: 1, models, unfinished: 0, latency: [], state: "healthy" }];
  });
  const all = seen(Object.fromEntries(nodes));
  expect(findings(all).map(({ check }) => check)).not.toContain("models-differ");
  // Of two nodes each; there are 28 couples.
  expect(cpuMsOf(() => findings(all))).toBeLessThan(8 * cpuMsOfComparing(MODELS));
}, 60_000);

test.each([
  ["pieces that a reader sees come slowly", { piece_p50_s: 0.07 }, { piece_p50_s: 0.02 }, 1],
  [
    "pieces at a third of the pace, of which nobody sees much",
    { piece_p50_s: 0.009 },
    { piece_p50_s: 0.003 },
    0,
  ],
  ["a first byte that is late", { first_byte_p50_s: 0.9 }, { first_byte_p50_s: 0.2 }, 1],
  ["a first byte that nobody waits for", { first_byte_p50_s: 0.07 }, { first_byte_p50_s: 0.02 }, 0],
  [
    "a first byte that is late, of too few answers to be compared",
    { first_byte_p50_s: 0.9, first_byte_ratio: null },
    { first_byte_p50_s: 0.2 },
    0,
  ],
  [
    "a first byte that is late beside one of too few answers to be compared",
    { first_byte_p50_s: 0.9 },
    { first_byte_p50_s: 0.2, first_byte_ratio: null },
    0,
  ],
])("slow or not: %s", (_, one, others, count) => {
  // Which they are of enough answers to have, unless it says otherwise; how many times is not looked at.
  const compared = { first_byte_ratio: 1, piece_ratio: 1 };
  const served = { role: 1, models: ["m"], unfinished: 0, latency: [], state: "healthy" };
  const node = { ...served, ...compared };
  const nodes = {
    "http://a:1": { ...node, ...one },
    "http://b:1": { ...node, ...others },
    "http://c:1": { ...node, ...others },
  };
  const slow = findings(seen(nodes)).filter(({ check }) => check === "node-slow");
  expect(slow.map(({ about }) => about)).toEqual(count === 0 ? [] : ["http://a:1"]);
});

test.each([
  // LMDeploy and SGLang make their gauges anew every 10 s, however often they are read.
  ["lmdeploy", 10, false],
  ["lmdeploy", 12.1, true],
  ["sglang", 10, false],
  ["sglang", 12.1, true],
  ["vllm", 1.9, false],
  ["vllm", 3.1, true],
  ["llamacpp", 0.9, false],
  ["llamacpp", 2.1, true],
])("gauges of %s that show nothing of what was there for %d s: %p", (engine, hadForS, isFound) => {
  const figures = { running: 0, waiting: 0, cache_usage: 0, last_metrics_age_s: 1 };
  const node = { role: 1, models: ["m"], unfinished: 1, latency: [], state: "healthy", engine };
  const found = findings(
    seen({ "http://a:1": { ...node, ...figures, oldest_request_s: hadForS + 1 } }),
  );
  expect(found.some(({ check }) => check === "gauges-still")).toBe(isFound);
});

const served = { models: ["m"], unfinished: 0, latency: [], pairs: 1 };
const decode = { ...served, role: 3, state: "healthy" };
const prefill = { ...served, role: 2, state: "healthy" };
const distServe = { "--serving-strategy": "DistServe" };

test.each([
  ["only decode nodes", { "http://d:1": decode }, distServe, ["no prefill node that serves m is"]],
  ["only prefill nodes", { "http://p:1": prefill }, distServe, ["no decode node that serves m is"]],
  [
    "only decode nodes, which need no others",
    { "http://d:1": decode },
    { ...distServe, "--dummy-prefill": "on" },
    [],
  ],
  [
    "the only prefill node drains",
    { "http://d:1": decode, "http://p:1": { ...prefill, pairs: 0, state: "draining" } },
    distServe,
    ["no prefill node that serves m is"],
  ],
  ["both", { "http://d:1": decode, "http://p:1": prefill }, distServe, []],
  [
    "the only node drains",
    { "http://h:1": { ...served, role: 1, state: "draining" } },
    {},
    ["no node that serves m is"],
  ],
])("whether anybody can answer: %s", (_, nodes, flags, expected) => {
  const found = findings(seen(nodes, flags)).filter(({ check }) =>
    ["no-node", "pairs-unconnected"].includes(check),
  );
  expect(found.map(({ what }) => what)).toEqual(expected.map((what) => `${what} healthy`));
});

test.each([
  ["no decode node", { "http://p:1": prefill }, distServe, ["Decode"]],
  ["no node at all", {}, distServe, ["Prefill", "Decode"]],
  [
    "no node at all, nor needs a prefill node",
    {},
    { ...distServe, "--dummy-prefill": "on" },
    ["Decode"],
  ],
  ["no node at all, and takes any", {}, {}, []],
])("a proxy that has %s takes those that its advice adds", (_, nodes, flags, roles) => {
  const [none] = findings(seen(nodes, flags)).filter(({ check }) => check === "no-node");
  const told = (before: string) =>
    [...(none?.advice ?? "").matchAll(new RegExp(`${before} --role (\\w+)`, "g"))].map(
      ([, role]) => role,
    );
  expect(told("start one with")).toEqual(roles);
  expect(told("lmproxy nodes add URL")).toEqual(roles);
});

test.each([
  ["probe", "node-unreachable", /can be reached/],
  ["late", "node-failing", /engine's log.*comes back by itself/],
  ["answers", "node-failing", /engine's log.*comes back by itself/],
])("a node that is out for %s is %s, with what to do about that", (reason, check, advice) => {
  const said = { state: "unhealthy", last_error: "whatever it is" };
  const node = { role: 1, models: ["m"], unfinished: 0, latency: [], ...said };
  const found = findings(seen({ "http://a:1": node }, {}, new Map([["http://a:1", reason]])));
  const about = found.filter((one) => one.about === "http://a:1");
  expect(about).toMatchObject([{ check, what: expect.stringContaining("(whatever it is)") }]);
  expect(about[0]?.advice).toMatch(advice);
});

test.each([
  ["GET /health: no connection: ECONNREFUSED", /whether its engine runs/],
  ["GET /health: no answer within 5 s", /restart it/],
  ["GET /health answered 404", /--health-path/],
  ["its certificate is not trusted: CERT_HAS_EXPIRED", /NODE_EXTRA_CA_CERTS/],
  ["something else", /whether its engine runs/],
])("what to do about a node that is out (%s) follows from why", (last_error, advice) => {
  const said = { state: "unhealthy", last_error };
  const node = { role: 1, models: ["m"], unfinished: 0, latency: [], ...said };
  const found = findings(seen({ "http://a:1": node }));
  expect(found.find(({ check }) => check === "node-unreachable")?.advice).toMatch(advice);
});
