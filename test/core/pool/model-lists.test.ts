/** What a node serves: what it registered with, and what its own list says, as long as both are of one engine. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ModelCard } from "../../../src/core/engine/model-list.ts";
import { Cluster } from "../../../src/lab/cluster.ts";

setDefaultTimeout(60_000);

function list(...ids: readonly string[]): ReadonlyMap<string, ModelCard> {
  return new Map(ids.map((id) => [id, { id }]));
}

const URL = "http://n0";
const registration = (...models: readonly string[]) => ({
  models,
  role: "Hybrid" as const,
  speed: null,
});

test("a list that says the same is the same", () => {
  const { membership } = new Cluster().registry;
  const node = membership.register(URL, registration("alias"));
  membership.listed(node, list("model"));
  const { models } = node;
  membership.listed(node, list("model"));
  expect(node.models).toBe(models);
});

describe("names that an engine registered with", () => {
  test("stand beside its list: an operator may know an alias", () => {
    const { membership } = new Cluster().registry;
    const node = membership.register(URL, registration("alias"));
    membership.listed(node, list("model"));
    expect(node.models).toEqual(["alias", "model"]);
  });

  test("are forgotten when another model's engine has taken its place", () => {
    const { registry } = new Cluster();
    const { membership, learning } = registry;
    const node = membership.register(URL, registration("old"));
    membership.listed(node, list("old"));
    learning.engineReplaced(node);
    expect([node.saysModels, node.models]).toEqual([false, ["old"]]);
    membership.listed(node, list("new"));
    expect([node.saysModels, node.models]).toEqual([true, ["new"]]);
    expect([registry.serves("old"), registry.serves("new")]).toEqual([false, true]);
  });

  test("are kept when the same model's engine was started again", () => {
    const { membership, learning } = new Cluster().registry;
    const node = membership.register(URL, registration("model", "alias"));
    learning.engineReplaced(node);
    membership.listed(node, list("model"));
    expect(node.models).toEqual(["model", "alias"]);
  });

  test("of before the proxy started are doubted, too", () => {
    const { registry } = new Cluster();
    const { membership } = registry;
    const node = membership.restore(URL, registration("old"), ["old", "adapter"]);
    expect([node.saysModels, node.models]).toEqual([false, ["old", "adapter"]]);
    membership.listed(node, list("new"));
    expect(registry.models()).toEqual(["new"]);
  });

  test("are all there is when the engine shows no list, or an empty one", () => {
    const { membership } = new Cluster().registry;
    const node = membership.restore(URL, registration("model"), []);
    membership.listed(node, list());
    expect(node.models).toEqual(["model"]);
  });
});

describe("nodes are equal for a body without a model", () => {
  const bases = (...cards: readonly ModelCard[]) => {
    const { membership } = new Cluster().registry;
    const node = membership.register(URL, registration());
    membership.listed(node, new Map(cards.map((card) => [card.id, card])));
    return node;
  };
  const base = bases({ id: "m", root: "/w" });

  test("whatever aliases and adapters they have", () => {
    expect(bases({ id: "alias", root: "/w" }, { id: "m", root: "/w" }).roots).toBe(base.roots);
    const adapted = bases({ id: "m", root: "/w" }, { id: "lora", root: "/l", parent: "m" });
    expect([adapted.roots, adapted.names]).toEqual([base.roots, base.names]);
  });

  test("by name, whatever kinds of engines say of what lies behind it", () => {
    expect(bases({ id: "m", root: "m" }).names).toBe(base.names);
    expect(bases({ id: "m" }).names).toBe(base.names);
  });

  test("but not with other models, or none", () => {
    const more = bases({ id: "m", root: "/w" }, { id: "n", root: "/n" });
    expect([more.roots === base.roots, more.names === base.names]).toEqual([false, false]);
    expect(bases().names).toBe("");
  });
});
