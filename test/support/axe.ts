import { join } from "node:path";
import type { Page } from "./chromium.ts";

const AXE = await Bun.file(join(import.meta.dir, "../../node_modules/axe-core/axe.min.js")).text();

/** What axe-core finds critical or serious for people who cannot see a page, or have no mouse. */
export async function criticalFaults(page: Page): Promise<unknown> {
  await page.evaluate(`if (window.axe === undefined) { ${AXE} }`);
  return await page.evaluate(`axe.run().then(({ violations }) =>
    violations.filter(({ impact }) => impact === "critical" || impact === "serious").flatMap(
      ({ id, nodes }) => nodes.map(({ html }) => id + ": " + html.slice(0, 200))))`);
}
