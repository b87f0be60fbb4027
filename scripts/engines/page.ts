/** Keeps what was seen of each kind, and puts the table into docs/engines.md. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { markdown, type Row } from "./report.ts";

const PAGE = join(import.meta.dir, "../../docs/engines.md");
const BEGIN = "<!-- table: scripts/real-engines --write -->";

/** Of when the run began: the executable was built just before. */
const COMMIT = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"]).stdout.toString().trim();

/** What the last runs saw of a kind, and of which lmproxy. */
export interface Seen {
  readonly kind: string;
  readonly title: string;
  readonly commit: string;
  readonly day: string;
  readonly rows: readonly Row[];
}

/** Takes the place of what was kept of the same parts before. */
export async function keep(cache: string, kind: string, title: string, rows: readonly Row[]) {
  const before = (await kept(cache, kind))?.rows ?? [];
  const parts = new Set(rows.map(({ part }) => part));
  const seen: Seen = {
    ...{ kind, title, commit: COMMIT, day: new Date().toISOString().slice(0, 10) },
    rows: [...before.filter(({ part }) => !parts.has(part)), ...rows],
  };
  await Bun.write(fileOf(cache, kind), JSON.stringify(seen, null, 1));
}

/** Written by `keep`, from this type. */
async function kept(cache: string, kind: string): Promise<Seen | null> {
  const path = fileOf(cache, kind);
  return existsSync(path) ? await Bun.file(path).json() : null;
}

function fileOf(cache: string, kind: string): string {
  return join(cache, `seen-${kind}.json`);
}

/** @throws Error when the page has no place for it */
export async function writeTable(cache: string, kinds: readonly string[]): Promise<void> {
  const page = await Bun.file(PAGE).text();
  const at = page.indexOf(BEGIN);
  if (at < 0) throw new Error(`${PAGE} has no line ${BEGIN}`);
  const all = (await Promise.all(kinds.map((kind) => kept(cache, kind)))).filter(
    (seen) => seen !== null,
  );
  const made = all.map(
    ({ kind, title, commit, day }) => `- ${kind}: ${title}; lmproxy at ${commit}, ${day}`,
  );
  const table = markdown(all.flatMap(({ rows }) => rows));
  await Bun.write(PAGE, `${page.slice(0, at)}${BEGIN}\n\n${made.join("\n")}\n\n${table}`);
}
