/** README, ARCHITECTURE.md and package.json say the same thing as the code. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import packageJson from "../package.json";
import { flagsTable } from "../scripts/flags-table.ts";
import { Exchanges } from "../src/core/exchange.ts";
import { STRATEGY_NAMES } from "../src/core/strategies/index.ts";
import { requestFields } from "../src/observe/request-line.ts";

const ROOT = join(import.meta.dir, "..");
const PAGES = [
  "README.md",
  "ARCHITECTURE.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "findings/README.md",
  ...new Bun.Glob("docs/*.md").scanSync(ROOT),
];

function read(path: string): Promise<string> {
  return Bun.file(join(ROOT, path)).text();
}

test("README has the table of flags that the code reads", async () => {
  expect(await read("README.md")).toContain(flagsTable().trim());
});

test("README names every strategy and every command", async () => {
  const readme = await read("README.md");
  for (const name of STRATEGY_NAMES) expect(readme).toContain(`\`${name}\``);
  const help = Bun.spawnSync([process.execPath, "src/main.ts", "--help"], { cwd: ROOT });
  const commands = [...help.stdout.toString().matchAll(/^ {2}([\w-]+) {2,}/gm)].map(
    ([, name]) => name,
  );
  expect(commands.length).toBeGreaterThan(3);
  for (const name of commands) expect(readme).toMatch(new RegExp(`lmproxy \\[?${name}\\b`));
});

test("docs/observing.md has the fields of a request's line", async () => {
  const section = (await read("docs/observing.md")).split("\n## ")[1] ?? "";
  const rows = [...section.matchAll(/^\| (`[^|]+) \|/gm)].map(([, names = ""]) => names);
  const named = rows.flatMap((names) => [...names.matchAll(/`(\w+)`/g)].map(([, name]) => name));
  const exchanges = new Exchanges({ now: () => 0, report: () => {} });
  const fields = requestFields(exchanges.begin("id", new Request("http://x/"), "/v1/x"));
  expect(named.sort()).toEqual(["ts", "level", "msg", ...Object.keys(fields)].sort());
});

test("ARCHITECTURE.md gives a reason for every dependency", async () => {
  const architecture = await read("ARCHITECTURE.md");
  const { dependencies, devDependencies } = packageJson;
  for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
    expect(architecture).toContain(name);
  }
});

test("links between the pages lead somewhere", async () => {
  for (const page of PAGES) {
    const links = [...(await read(page)).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)];
    for (const [, to] of links) {
      const path = join(ROOT, dirname(page), to ?? "");
      expect({ page, to, exists: existsSync(path) }).toEqual({ page, to, exists: true });
    }
  }
});

test("tests and scripts that the pages name exist", async () => {
  for (const page of PAGES) {
    const named = [...(await read(page)).matchAll(/`((?:test|scripts|bench|deploy)\/[\w./-]+)`/g)];
    for (const [, path = ""] of named) {
      expect({ page, path, exists: existsSync(join(ROOT, path)) }).toEqual({
        page,
        path,
        exists: true,
      });
    }
  }
});
