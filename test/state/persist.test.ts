import { expect, test } from "bun:test";
import { join } from "node:path";
import { Registry } from "../../src/core/pool/registry.ts";
import { random } from "../../src/core/strategies/random.ts";
import { openStateFile } from "../../src/state/file.ts";
import type { StateEntry } from "../../src/state/format.ts";
import { KeptNodes } from "../../src/state/persist.ts";
import { entry, temporaryFolder, warnings } from "./entries.ts";

interface RunOptions {
  readonly refusal?: (entry: StateEntry) => string | null;
  /** Nodes that the command line names. */
  readonly flags?: readonly string[];
}

/** One life of a proxy: restores, lets `act` change the registry, saves. */
async function run(
  path: string,
  act: (registry: Registry, kept: KeptNodes) => void,
  options: RunOptions = {},
) {
  const registry = new Registry({
    now: () => 0,
    onListenerError: (error) => {
      throw error;
    },
    random: () => 0,
    strategy: () => random,
    sampleMaxAgeMs: 15_000,
    maxInFlightPerNode: Number.POSITIVE_INFINITY,
  });
  const { warn, after, lines } = warnings();
  const file = openStateFile(path, { warn, after });
  const kept = new KeptNodes({ registry, warn, refusal: options.refusal ?? (() => null) });
  kept.restore(file.loaded);
  const stop = kept.saveTo(file);
  const named = { models: [], role: "Hybrid", speed: null, enabled: true } as const;
  const flags = (options.flags ?? []).map((url) => ({ url, ...named }));
  registry.membership.says({ name: "flags", rank: 0 }, flags);
  act(registry, kept);
  stop();
  await file.close();
  return { registry, lines, loaded: file.loaded };
}

const one = "http://10.0.0.7:1";
const two = "http://10.0.0.7:2";

test("a registry survives its process: nodes, models, role, speed, draining", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  await run(path, (registry) => {
    const node = registry.membership.register(one, { models: ["m"], role: "Prefill", speed: 1.5 });
    registry.membership.discovered(node, ["m", "adapter"]);
    registry.membership.register(two, { models: [], role: "Hybrid", speed: null });
    registry.membership.register("http://10.0.0.7:3", {
      models: ["x"],
      role: "Hybrid",
      speed: null,
    });
    registry.membership.drain(two);
    registry.membership.remove("http://10.0.0.7:3");
  });
  const { registry, lines } = await run(path, () => {});
  expect(lines).toEqual([]);
  const [first, second, ...others] = registry.nodes();
  expect(others).toEqual([]);
  expect(first).toMatchObject({
    url: one,
    registeredModels: ["m"],
    models: ["m", "adapter"],
    role: "Prefill",
    speed: 1.5,
  });
  expect(first?.health.state).toBe("starting");
  expect(second?.health.state).toBe("draining");
});

test("registering again ends draining, also after the next restart", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  const registration = { models: ["m"], role: "Hybrid", speed: null } as const;
  await run(path, (registry) => {
    registry.membership.register(one, registration);
    registry.membership.drain(one);
  });
  await run(path, (registry) => registry.membership.register(one, registration));
  const { registry } = await run(path, () => {});
  expect(registry.get(one)?.health.state).toBe("starting");
});

test("a node that this configuration cannot have is left out, said, and kept for the next", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  await run(path, (registry) => {
    registry.membership.register(one, { models: ["m"], role: "Prefill", speed: null });
  });
  const hybrid = await run(
    path,
    (registry) => registry.membership.register(two, { models: ["m"], role: "Hybrid", speed: null }),
    { refusal: ({ role }) => (role === "Hybrid" ? null : "role is for DistServe") },
  );
  expect(hybrid.lines).toEqual([
    `node of the state file left out | ${one} | Prefill | role is for DistServe`,
  ]);
  expect(hybrid.registry.nodes().map(({ url }) => url)).toEqual([two]);
  const { registry } = await run(path, () => {});
  expect(registry.get(one)?.role).toBe("Prefill");
});

test("a node of the command line is kept only when an engine or an operator said something of it", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  const flags = { flags: [one, two] };
  const registration = { models: ["m"], role: "Hybrid", speed: 2 } as const;
  await run(path, () => {}, flags);
  const second = await run(path, ({ membership }) => membership.register(one, registration), flags);
  expect(second.loaded).toEqual([]);
  const third = await run(path, ({ membership }) => membership.drain(two), flags);
  expect(third.loaded).toEqual([entry(1, { models: ["m"], speed: 2 })]);
  expect(third.registry.get(one)).toMatchObject(registration);
  const fourth = await run(path, () => {});
  expect(fourth.registry.nodes().map(({ url }) => url)).toEqual([one, two]);
  expect(fourth.registry.get(two)?.health.state).toBe("draining");
});

test("a node of the command line that was removed by hand is back with the next start", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  const flags = { flags: [one] };
  const first = await run(path, ({ membership }) => membership.remove(one), flags);
  expect(first.registry.nodes()).toEqual([]);
  expect((await run(path, () => {}, flags)).registry.nodes()).toHaveLength(1);
});

test("what changed at another proxy since it was asked counts, but for what has changed here since", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "nodes.json");
  const same = entry(1);
  const left = entry(2);
  const changed = entry(3);
  const registeredHere = entry(4);
  const removedHere = entry(5);
  const joined = entry(6);
  const before = [same, left, changed, registeredHere, removedHere];
  await run(path, (registry, kept) => {
    kept.restore(before);
    const here = { models: ["here"], role: "Hybrid", speed: null } as const;
    registry.membership.register(registeredHere.url, here);
    registry.membership.remove(removedHere.url);
    const after = [
      same,
      { ...changed, draining: true, speed: 2 },
      { ...removedHere, speed: 3 },
      joined,
    ];
    kept.catchUp(before, after);
  });
  const { loaded } = await run(path, () => {});
  expect(
    loaded.map(({ url, models, speed, draining }) => ({ url, models, speed, draining })),
  ).toEqual([
    { url: same.url, models: same.models, speed: same.speed, draining: false },
    { url: changed.url, models: changed.models, speed: 2, draining: true },
    { url: registeredHere.url, models: ["here"], speed: null, draining: false },
    { url: joined.url, models: joined.models, speed: joined.speed, draining: false },
  ]);
});
