import { describe, expect, test } from "bun:test";
import { Gate } from "./gate.ts";

/** What happens to the only engine of its role before somebody asks. */
const WAYS: Readonly<Record<string, (gate: Gate, role?: "Decode" | "Hybrid") => void>> = {
  "says that it starts": ({ cluster }, role = "Decode") => {
    const node = cluster.register("n0", { role });
    cluster.registry.learning.probed(node, { kind: "initializing" }, false);
  },
  "was well, and has registered again": ({ cluster }, role = "Decode") => {
    cluster.play(cluster.register("n0", { role }), "ok refused");
    cluster.refuse(cluster.register("n0", { role }));
  },
  "has not said again what it serves": ({ cluster }) => {
    cluster.play(cluster.register("n0", { role: "Decode" }), "ok refused");
    cluster.register("n0", { role: "Decode", models: [] });
  },
};

describe("an engine that comes back", () => {
  test.each(Object.keys(WAYS))("and %s is waited for as long as for a place", async (way) => {
    const gate = new Gate({ queueTimeoutMs: 10_000 }, {});
    gate.cluster.join("prefill", { role: "Prefill" });
    WAYS[way]?.(gate);
    const [first, second] = [gate.ask({ role: "Decode" }), gate.ask({ role: "Decode" })];
    await gate.pass(9_999);
    expect([first.state, second.state]).toEqual(["waits", "waits"]);
    await gate.pass(1);
    const refused = "503 service_unavailable";
    expect([first.state, second.state]).toEqual([refused, refused]);
  });

  test.each(["says that it starts", "was well, and has registered again"])(
    "and so is the only one of all, which %s",
    async (way) => {
      const gate = new Gate({ queueTimeoutMs: 10_000 }, {});
      WAYS[way]?.(gate, "Hybrid");
      const asker = gate.ask();
      await gate.pass(9_999);
      expect(asker.state).toBe("waits");
      await gate.pass(1);
      expect(asker.state).toBe("503 service_unavailable");
    },
  );

  test("and so it is beside one that nobody has ever seen there", async () => {
    const gate = new Gate({ queueTimeoutMs: 10_000 }, {});
    WAYS["says that it starts"]?.(gate, "Hybrid");
    gate.cluster.register("n1");
    const asker = gate.ask();
    await gate.pass(9_999);
    expect(asker.state).toBe("waits");
  });

  test("but not one that nobody has ever seen there", async () => {
    const gate = new Gate({ queueTimeoutMs: 10_000 }, {});
    gate.cluster.refuse(gate.cluster.register("n0", { role: "Decode" }));
    const asker = gate.ask({ role: "Decode" });
    await gate.pass(2_000);
    expect(asker.state).toBe("503 service_unavailable");
  });
});
