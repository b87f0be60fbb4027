import { expect, test } from "bun:test";
import { dirname, join } from "node:path";
import { MAIN } from "./program.ts";

/** The packages that are loaded with `file`, by it or by what it imports; not what it loads later. */
async function packagesOf(file: string, seen = new Set<string>()): Promise<string[]> {
  if (seen.has(file) || !file.endsWith(".ts")) return [];
  seen.add(file);
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const found = transpiler
    .scanImports(await Bun.file(file).text())
    .filter(({ kind, path }) => kind === "import-statement" && !path.startsWith("node:"));
  const inside = found
    .filter(({ path }) => path.startsWith("."))
    .map(({ path }) => packagesOf(join(dirname(file), path), seen));
  const outside = found.map(({ path }) => path).filter((path) => !path.startsWith("."));
  return [...outside, ...(await Promise.all(inside)).flat()];
}

// The process that only replaces itself would load them for nothing, and the other one again.
test.each([
  ["src/main.ts", MAIN],
  ["src/commands/serve.ts", join(dirname(MAIN), "commands/serve.ts")],
])("%s loads no package before it has to", async (_, file) => {
  expect(await packagesOf(file)).toEqual([]);
});

test("what is loaded when it has to be is found", async () => {
  expect(await packagesOf(join(dirname(MAIN), "config/serve-config.ts"))).toContain("commander");
});
