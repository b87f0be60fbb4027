/** Puts the table into docs/engines.md, with what it was made with. */
import { join } from "node:path";

const PAGE = join(import.meta.dir, "../../docs/engines.md");
const BEGIN = "<!-- table: scripts/real-engines --write -->";

/** @throws Error when the page has no place for it */
export async function writeTable(table: string, executable: string): Promise<void> {
  const page = await Bun.file(PAGE).text();
  const at = page.indexOf(BEGIN);
  if (at < 0) throw new Error(`${PAGE} has no line ${BEGIN}`);
  const version = Bun.spawnSync([executable, "--version"]).stdout.toString().trim();
  const commit = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"]).stdout.toString().trim();
  const day = new Date().toISOString().slice(0, 10);
  const made = `${version} at ${commit}, ${day}, 2 engines of a kind and the clients on one machine.`;
  await Bun.write(PAGE, `${page.slice(0, at)}${BEGIN}\n\n${made}\n\n${table}`);
}
