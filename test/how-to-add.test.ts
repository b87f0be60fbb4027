/** ARCHITECTURE.md's worked examples of what can be added, followed to the letter. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EngineFacts } from "../src/core/engine/engine-facts.ts";
import { ENGINE_FACTS } from "../src/core/engine/kinds.ts";
import { signalReader } from "../src/core/engine/load-signals.ts";

const ROOT = join(import.meta.dir, "..");
const PAGE = await Bun.file(join(ROOT, "ARCHITECTURE.md")).text();

/** Imports the block that begins with the comment `// path`, as if it lay at that path. */
async function example(path: string): Promise<Readonly<Record<string, unknown>>> {
  const [, block] = new RegExp(`\`\`\`ts\\n *// ${path}\\n([^\`]+)\`\`\``).exec(PAGE) ?? [];
  if (block === undefined) throw new Error(`ARCHITECTURE.md has no example of ${path}`);
  const folder = mkdtempSync(join(tmpdir(), "lmproxy-example-"));
  try {
    const file = join(folder, "example.ts");
    const resolved = block.replaceAll(
      /from "(\.{1,2}\/[^"]+)"/g,
      (_, to) => `from ${JSON.stringify(join(ROOT, path, "..", to))}`,
    );
    await Bun.write(file, resolved);
    const module: Record<string, unknown> = await import(file);
    return module;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function isFacts(value: unknown): value is EngineFacts {
  return typeof value === "object" && value !== null && "usage" in value && "health" in value;
}

test("a kind of engine: its file and its row", async () => {
  const facts = (await example("src/core/engine/kinds/example.ts"))["example"];
  if (!isFacts(facts)) throw new Error("no facts");
  const read = signalReader({ ...ENGINE_FACTS, example: facts });
  const page = `example:kv_blocks 400
example:kv_blocks_used 100
example:batch_size 3
example:queue_size 2
example:state{state="serving"} 1`;
  expect(read(page)).toEqual({
    kind: "example",
    cacheUsage: 0.25,
    running: 3,
    waiting: 2,
    asleep: false,
  });
  expect(read("vllm:kv_cache_usage_perc 0.5").kind).toBe("vllm");
  expect(facts.health({ status: 503, body: '{"phase":"loading"}' })).toBe("initializing");
});
