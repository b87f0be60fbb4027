/** Style that a compiler and a linter do not see: layers, banned calls, sizes, files nobody imports. */
import { expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const ROOT = join(import.meta.dir, "..");
const MAX_LINES = 300;

/**
 * What each room may import beside itself and packages; nothing imports upward. A folder of folders
 * is named by its rooms; `core` itself is the words that all use. `core/*` stands for all of them.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  "core/body": ["core"],
  "core/address": ["core"],
  "core/engine": ["core"],
  "core/strategies": [],
  "core/pool": ["core", "core/engine", "core/strategies"],
  "core/knowledge": ["core", "core/engine", "core/pool", "core/strategies"],
  "core/admission": ["core", "core/pool"],
  observe: ["core/*"],
  cluster: ["core/*", "observe", "state"],
  upstream: ["core/*"],
  state: ["core/*"],
  discovery: ["core/*"],
  config: ["core/*"],
  distserve: ["core/*", "upstream"],
  "sim/model": [],
  "sim/server": ["core/*", "sim/model"],
  lab: ["core/*", "sim/model"],
  page: ["observe"],
  http: ["core/*", "upstream", "observe", "discovery", "page"],
  proxy: [
    "core/*",
    "config",
    "upstream",
    "distserve",
    "state",
    "observe",
    "discovery",
    "cluster",
    "http",
  ],
  commands: ["core/*", "config", "cluster", "proxy", "http", "state", "sim/server", "lab"],
  main: ["core", "commands", "config", "observe"],
};

interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const IMPORT = /(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g;

async function filesIn(folder: string): Promise<SourceFile[]> {
  const paths = [...new Glob(`${folder}/**/*.{ts,tsx}`).scanSync(ROOT)].sort();
  return await Promise.all(
    paths.map(async (path) => {
      const text = await Bun.file(join(ROOT, path)).text();
      const imports = [...text.matchAll(IMPORT)].map(([, to]) =>
        normalize(join(dirname(path), to ?? "")),
      );
      return { path, text, imports };
    }),
  );
}

/** `src/core/pool/node.ts` is of the room core/pool, `src/http/docs/page.ts` of http, `src/main.ts` of main. */
function roomOf(path: string): string {
  const [, top = "", second = ""] = path.replace(/\.ts$/, "").split("/");
  return ARROWS[`${top}/${second}`] === undefined ? top : `${top}/${second}`;
}

function mayImport(from: string, to: string): boolean {
  return (
    ARROWS[from]?.some((room) =>
      room.endsWith("/*") ? `${to}/`.startsWith(room.slice(0, -1)) : room === to,
    ) ?? false
  );
}

const source = await filesIn("src");
const everything = [
  ...source,
  ...(await filesIn("test")),
  ...(await filesIn("scripts")),
  ...(await filesIn("bench")),
];

test("imports follow the arrows of ARCHITECTURE.md", () => {
  const wrong = source.flatMap(({ path, imports }) =>
    imports
      .filter((to) => to.startsWith("src/"))
      .filter((to) => {
        const [from, target] = [roomOf(path), roomOf(to)];
        return from !== target && !mayImport(from, target);
      })
      .map((to) => `${path} imports ${to}`),
  );
  expect(wrong).toEqual([]);
});

test("no two source files import each other, on whatever way round", () => {
  const imports = new Map(source.map((file) => [file.path, file.imports]));
  const circles: string[] = [];
  const done = new Set<string>();
  function visit(path: string, way: readonly string[]): void {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(" → "));
    else if (!done.has(path)) {
      for (const to of imports.get(path) ?? []) visit(to, [...way, path]);
      done.add(path);
    }
  }
  for (const path of imports.keys()) visit(path, []);
  expect(circles).toEqual([]);
});

/** Rooms that are handed time and chance, and do no I/O. */
const PURE = /^(core\b|sim\/model$|lab$)/;

test("the core, the model of an engine and the laboratory have no clock, no chance, no network and no Bun", () => {
  const banned =
    /\b(Date\.now|new Date\(\)|performance\.|Math\.random|setTimeout|setInterval|setImmediate|fetch\(|Bun\.|process\.|console\.)/;
  const packages = /from "(?:node:|bun)(?!buffer")/;
  const found = source
    .filter(({ path }) => PURE.test(roomOf(path)))
    .flatMap(({ path, text }) =>
      code(text)
        .split("\n")
        .filter((line) => banned.test(line) || packages.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
  expect(found).toEqual([]);
});

/** The parts are put together here, and what is a program of its own has a clock of its own. */
const MAY_HAVE_TIME = /^src\/(proxy\/assemble\.ts$|commands\/|sim\/server\/|page\/)/;

test("time and chance are made in one place, and handed down", () => {
  const raw =
    /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|setImmediate)\b/;
  const found = source
    .filter(({ path }) => !MAY_HAVE_TIME.test(path))
    .flatMap(({ path, text }) =>
      code(text)
        .split("\n")
        .filter((line) => raw.test(line))
        .map((line) => `${path}: ${line.trim()}; take it from the Clock that is handed down`),
    );
  expect(found).toEqual([]);
});

test("the environment is read in the configuration and the commands only", () => {
  const found = source
    .filter(({ path }) => !["commands", "main"].includes(roomOf(path)))
    .filter(({ text }) => /process\.env|Bun\.env/.test(code(text)))
    .map(({ path }) => path);
  expect(found).toEqual([]);
});

test("no file needs scrolling to understand", () => {
  const long = everything
    .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > MAX_LINES);
  expect(long).toEqual([]);
});

/** The program, and the one that runs in browsers. */
const ENTRIES = new Set(["src/main.ts", "src/page/main.tsx"]);

test("every source file is imported by another of them, or is an entry: what tests alone use is theirs", () => {
  const imported = new Set(source.flatMap(({ imports }) => imports));
  const dead = source
    .map(({ path }) => path)
    .filter((path) => !ENTRIES.has(path) && !path.endsWith(".d.ts") && !imported.has(path));
  expect(dead).toEqual([]);
});

test("files that comments name exist, by so much of their path as is named", () => {
  const paths = everything.map(({ path }) => path);
  const isThere = (name: string) => paths.some((path) => `/${path}`.endsWith(`/${name}`));
  const missing = source.flatMap(({ path, text }) =>
    [...text.matchAll(/`([\w./-]+\.tsx?)`/g)]
      .filter(([, name = ""]) => !isThere(name))
      .map(([, name]) => `${path} names ${name}`),
  );
  expect(missing).toEqual([]);
});

test("nothing is switched off, cast away or left for later", () => {
  const inComments =
    /@ts-(ignore|expect-error|nocheck)|biome-ignore(?! \S+: \S)|\b(TODO|FIXME|XXX)\b/;
  const inCode = /\bas (any|unknown as)\b|: any\b|\b(test|describe)\.(only|skip|todo)\(/;
  const found = everything
    .filter(({ path }) => path !== "test/tidy.test.ts")
    .flatMap(({ path, text }) => {
      const lines = text.split("\n").filter((line) => inComments.test(line));
      const cast = withoutStrings(code(text))
        .split("\n")
        .filter((line) => inCode.test(line));
      return [...lines, ...cast].map((line) => `${path}: ${line.trim()}`);
    });
  expect(found).toEqual([]);
});

/** The text without its comments. */
function code(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "");
}

function withoutStrings(text: string): string {
  return text.replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""');
}
