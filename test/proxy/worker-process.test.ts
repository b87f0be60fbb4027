/** A worker's way out. */
import { expect, test } from "bun:test";
import { shareMemory } from "../../src/cluster/memory.ts";
import { PROTOCOL } from "../../src/cluster/messages.ts";
import { parseServeConfig } from "../../src/config/serve-config.ts";
import { beginWorker } from "../../src/proxy/begin-worker.ts";
import { ProxyWorker } from "../../src/proxy/worker-process.ts";

test("a worker whose wrapping up fails ends all the same, and tells what it has counted", async () => {
  const memory = shareMemory({ rows: 2, clients: 0 });
  const parsed = parseServeConfig(["--log-level", "CRITICAL"], {}, () => "");
  if (parsed.help !== null) throw new Error("it should be a configuration");
  const said: string[] = [];
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const worker = new ProxyWorker(
    (message) => {
      const asked = JSON.stringify(message);
      said.push(asked);
      const [, ask] = /"ask":(\d+)/.exec(asked) ?? [];
      if (ask !== undefined) worker.receive({ answer: Number(ask), value: null });
    },
    end,
    async (...given) => ({
      ...(await beginWorker(...given)),
      sink: { flush: () => Promise.reject(new Error("nobody reads the log")) },
    }),
  );
  const { path, size } = memory;
  const beginning = { table: path, size, row: 1, config: parsed.config, via: "1.1 x", news: [] };
  const begin = { do: "begin", protocol: PROTOCOL, ...beginning };
  // Another process would get a copy.
  worker.receive({ ask: 1, question: structuredClone(begin) });
  worker.receive({ ask: 2, question: { do: "drain" } });
  await ended;
  expect(said.some((message) => message.includes('"do":"counted"'))).toBe(true);
  memory.remove();
});
