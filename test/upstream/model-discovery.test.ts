/** Who is asked what it serves, and waited for by a request for a model that nobody is known to serve; no time passes. */
import { expect, test } from "bun:test";
import type { Clock } from "../../src/core/clock.ts";
import type { Role } from "../../src/core/engine/roles.ts";
import { Registry } from "../../src/core/pool/registry.ts";
import { random } from "../../src/core/strategies/random.ts";
import { ModelDiscovery } from "../../src/upstream/model-discovery.ts";
import { until } from "../support/until.ts";

const STANDING: Clock = {
  now: () => 0,
  wallMs: () => 0,
  after: () => () => {},
  every: () => () => {},
  soon: queueMicrotask,
};

/** Engines by their URL: the models that one lists, or null for a list that does not come. */
function setUp(lists: Readonly<Record<string, readonly string[] | null>>) {
  const registry = new Registry({
    now: STANDING.now,
    random: () => 0,
    strategy: () => random,
    sampleMaxAgeMs: 1_000,
    maxInFlightPerNode: Number.POSITIVE_INFINITY,
    onListenerError: (error) => {
      throw error;
    },
  });
  const asked: string[] = [];
  const discovery = new ModelDiscovery({
    registry,
    clock: STANDING,
    random: () => 0,
    headers: {},
    timeoutMs: 60_000,
    onError: (error) => {
      throw error;
    },
    onNoList: () => {},
    fetch: async (url) => {
      const node = new URL(url).origin;
      asked.push(node);
      const models = lists[node] ?? null;
      if (models === null) return await new Promise<Response>(() => {});
      return Response.json({ object: "list", data: models.map((id) => ({ id })) });
    },
  });
  return {
    asked,
    discovery,
    membership: registry.membership,
    add(url: string, role: Role, isUp: boolean) {
      const node = registry.membership.register(url, { models: [], role, speed: null });
      if (isUp) registry.learning.probed(node, { kind: "ok" }, false);
      return node;
    },
  };
}

const [PREFILL, STARTING, HANGS, DECODE] = ["http://p:1", "http://s:1", "http://h:1", "http://d:1"];

test("one of a role is not waited for among those of the other, whose lists may not come", async () => {
  const lists = { [PREFILL]: ["m", "adapter"], [HANGS]: null, [DECODE]: ["m"] };
  const { add, asked, discovery } = setUp(lists);
  add(PREFILL, "Prefill", true);
  add(HANGS, "Prefill", true);
  add(STARTING, "Prefill", false);
  add(DECODE, "Decode", true);
  await discovery.find("m", "Decode");
  await discovery.find("adapter", "Prefill");
  // As often as it is asked for.
  for (let i = 0; i < 3; i += 1) await discovery.find("adapter", "Decode");
  expect(asked.toSorted()).toEqual([DECODE, HANGS, PREFILL]);
});

test("of its own role, one that starts is", async () => {
  const { add, discovery } = setUp({ [PREFILL]: ["m", "adapter"] });
  add(PREFILL, "Prefill", true);
  add(STARTING, "Decode", false);
  const found = discovery.find("adapter", "Decode").then(() => "found");
  const { promise: later, resolve } = Promise.withResolvers<string>();
  setImmediate(resolve, "waits");
  expect(await Promise.race([found, later])).toBe("waits");
});

test("a healthy node that registers again is asked at once what it serves now", async () => {
  const lists = { [PREFILL]: ["m"] };
  const { add, discovery, membership } = setUp(lists);
  const node = add(PREFILL, "Hybrid", true);
  discovery.start();
  await discovery.find("m", "Hybrid");
  lists[PREFILL] = ["m", "new"];
  const { url, role, models, speed } = node;
  membership.register(url, { role, models, speed });
  // No time passes, and so no round begins.
  await until("the new model is listed", () => node.models.includes("new"));
  expect(node.models).toEqual(["m", "new"]);
  discovery.stop();
});
