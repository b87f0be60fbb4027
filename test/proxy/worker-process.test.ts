/** A worker's way out. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { shareMemory } from "../../src/cluster/memory.ts";
import { PROTOCOL } from "../../src/cluster/messages.ts";
import { parseServeConfig } from "../../src/config/serve-config.ts";
import { beginWorker } from "../../src/proxy/begin-worker.ts";
import { ProxyWorker } from "../../src/proxy/worker-process.ts";

setDefaultTimeout(60_000);

function beginIn({ path, size }: ReturnType<typeof shareMemory>) {
  const parsed = parseServeConfig(["--log-level", "CRITICAL"], {}, () => "");
  if (parsed.help !== null) throw new Error("it should be a configuration");
  const beginning = { table: path, size, row: 1, config: parsed.config, via: "1.1 x", news: [] };
  return { do: "begin", protocol: PROTOCOL, ...beginning };
}

test("a worker whose wrapping up fails ends all the same, and tells what it has counted", async () => {
  const memory = shareMemory({ rows: 2, clients: 0 });
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
      flushLog: () => Promise.reject(new Error("nobody reads the log")),
    }),
  );
  // Another process would get a copy.
  worker.receive({ ask: 1, question: structuredClone(beginIn(memory)) });
  worker.receive({ ask: 2, question: { do: "drain" } });
  await ended;
  expect(said.some((message) => message.includes('"do":"counted"'))).toBe(true);
  memory.remove();
});

test.each([0, 20, 40, 80, 150])(
  "a worker that its supervisor leaves after %d ms ends",
  async (ms) => {
    const memory = shareMemory({ rows: 2, clients: 0 });
    const main = join(import.meta.dir, "../../src/main.ts");
    const child = Bun.spawn([process.execPath, main, "worker"], {
      stdio: ["ignore", "ignore", "ignore"],
      serialization: "advanced",
      ipc: () => {},
    });
    child.send({ ask: 1, question: beginIn(memory) });
    await Bun.sleep(ms);
    child.disconnect();
    // Whoever runs on is ended by the time limit, which is far above what a start takes.
    expect(await child.exited).toBe(0);
    memory.remove();
  },
);
