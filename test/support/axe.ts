import { join } from "node:path";
import type { Page } from "./chromium.ts";

const AXE = await Bun.file(join(import.meta.dir, "../../node_modules/axe-core/axe.min.js")).text();

/** What axe-core finds that keeps people out who cannot see a page well, or have no mouse, or makes it hard for them. */
export async function seriousFaults(page: Page): Promise<unknown> {
  await page.evaluate(`if (window.axe === undefined) { ${AXE} }`);
  return await page.evaluate(`axe.run(document, { resultTypes: ["violations"] }).then(
    ({ violations }) => violations
      .filter(({ impact }) => ["critical", "serious"].includes(impact))
      .flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html.slice(0, 200))))`);
}
